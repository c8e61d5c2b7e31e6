"""What a running sweep shows: a live table in a terminal, plain lines elsewhere."""

import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hydra_slots.eta import duration
from hydra_slots.events import EventKind, Snapshot, TrialEvent, WorkerRow
from hydra_slots.output import SweepConsole, tolerating_lost_output
from hydra_slots.protocol import as_number
from hydra_slots.sweep_plan import Job

REFRESH = 1.0  # seconds between redraws
RANKED = 12  # groups in the ranking
LOWER_IS_BETTER = re.compile(
    r"loss|error|entropy|perplexity|ppl|nll|mse|mae|rmse|brier|ece|cer|wer|divergence|distance|regret|cost|seconds|time"
)


class Display:
    """Shows what happens to trials; ranks their groups by `metric`, or by the metric that their plan names."""

    def __init__(
        self,
        jobs: Sequence[Job],
        metric: str | None = None,
        lower_is_better: bool | None = None,
        columns: Mapping[str, str] | None = None,
        console: Console | None = None,
    ) -> None:
        """`columns`: heading to key of a row of metrics; `lower_is_better` None: by the metric's name."""
        self.total, self.names, self.lower_is_better = len(jobs), group_names(jobs), lower_is_better
        self.metric_of = {job.trial.name: metric or job.trial.metric or None for job in jobs}
        self.metrics = {job.trial.group: self.metric_of[job.trial.name] for job in jobs}
        self.columns = dict(columns or {})
        self.console = console or SweepConsole(highlight=False, soft_wrap=True)
        self.scores: dict[str, list[float]] = defaultdict(list)
        self.finished = self.paused = self.earlier = 0
        self.failures: list[TrialEvent] = []
        self.screen: Live | None = None
        self.last_drawn = 0.0

    # -- events -----------------------------------------------------------------------------------------------------
    def line(self, text: str) -> None:
        with tolerating_lost_output():
            self.console.print(text, markup=False)

    def show_event(self, event: TrialEvent) -> None:
        name = event.job.trial.name
        if event.kind == EventKind.RETRY:
            self.line(f"retrying {name}: {event.reason}")
            return
        if event.kind == EventKind.FAILED:
            self.failures.append(event)
            self.line(f"{self.count()} failed   {name}  {event.reason}")
            return
        heading, score = score_of(event.result, self.metric_of[name])
        paused = event.kind in (EventKind.PAUSED, EventKind.PAUSED_EARLIER)
        self.paused += paused
        self.finished += not paused
        if score is not None and not paused:
            self.scores[event.job.trial.group].append(score)
        if event.kind in (EventKind.FINISHED_EARLIER, EventKind.PAUSED_EARLIER):
            self.earlier += 1
            return
        parts = [f"{self.count()} {'paused  ' if paused else 'finished'} {name}"]
        parts += [] if score is None else [f"{heading} {score:.4g}"]
        parts += [] if event.seconds is None else [duration(event.seconds)]
        parts += ["by another runner"] if event.kind == EventKind.FINISHED_ELSEWHERE else []
        self.line("  ".join(parts))

    def count(self) -> str:
        return f"[{self.ended}/{self.total}]"

    @property
    def ended(self) -> int:
        return self.finished + self.paused + len(self.failures)

    # -- live view --------------------------------------------------------------------------------------------------
    @contextmanager
    def live(self) -> Iterator[None]:
        """While this lasts, a terminal shows a live table; elsewhere there are lines only."""
        if not self.console.is_terminal or self.earlier == self.total:
            yield
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as self.screen:
            yield
        self.screen = None

    def refresh(self, snapshot: Callable[[], Snapshot]) -> None:
        """Redraw the live table if it is time."""
        if self.screen is not None and time.monotonic() - self.last_drawn > REFRESH:
            self.last_drawn = time.monotonic()
            self.screen.update(self.view(snapshot()), refresh=True)

    def view(self, now: Snapshot) -> RenderableType:
        """Overall progress, a line per worker, the ranking of the groups, and the last failures."""
        parts: list[RenderableType] = [self.overall(now), self.workers(now.workers)]
        if self.scores:
            parts.append(self.ranking())
        failures = [f"failed: {event.job.trial.name}: {event.reason}" for event in self.failures[-5:]]
        parts += [Text(line, style="red", overflow="ellipsis", no_wrap=True) for line in failures]
        return Group(*parts)

    def print_ranking(self) -> None:
        if len(self.names) > 1 and self.scores:
            with tolerating_lost_output():
                self.console.print(self.ranking())

    def overall(self, now: Snapshot) -> RenderableType:
        row = Table.grid(padding=(0, 2))
        words = [f"{self.finished}/{self.total} trials"]
        words += [f"{self.paused} paused"] if self.paused else []
        words += [f"{len(self.failures)} failed"] if self.failures else []
        words += [f"{now.elsewhere} with another runner"] if now.elsewhere else []
        words += [f"about {duration(now.seconds_left)} left"] if now.seconds_left is not None else []
        bar = ProgressBar(total=self.total, completed=self.ended, width=40)
        row.add_row(bar, ", ".join(words))
        return row

    def workers(self, rows: Sequence[WorkerRow]) -> RenderableType:
        table = Table(box=None, padding=(0, 1), header_style="dim")
        table.add_column("worker")
        table.add_column("trial")
        table.add_column("done", justify="right", no_wrap=True, overflow="ellipsis", max_width=24)
        for heading in (*self.columns, "MiB", "time"):
            table.add_column(Text(heading), justify="right", no_wrap=True)
        for row in rows:
            share = as_number(row.metrics.get("progress"))
            table.add_row(
                row.worker.removeprefix("worker "),
                shortened(row.trial or "idle"),
                Text(row.stage if share is None else f"{share:.0%}"),
                *(number(self.value(row, keys)) for keys in self.columns.values()),
                "" if row.memory is None else f"{row.memory:,}",
                duration(row.seconds) if row.trial else "",
            )
        return table

    def value(self, row: WorkerRow, keys: str) -> Any:
        """The first of these keys (`a|b`) that the row has; `metric` is the trial's own."""
        names = [self.metric_of.get(row.trial) if key == "metric" else key for key in keys.split("|")]
        return next((row.metrics[name] for name in names if name in row.metrics), None)

    def ranking(self) -> RenderableType:
        """Groups by their mean metric over finished trials, best first; metric by metric where there are several."""
        table = Table(box=None, padding=(0, 1), header_style="dim")
        table.add_column("group")
        metrics = [metric or "value" for metric in dict.fromkeys(self.metrics[group] for group in self.scores)]
        for heading in (metrics[0] if len(metrics) == 1 else "value", "sd", "n"):
            table.add_column(Text(heading), justify="right", no_wrap=True)

        def rank(item: tuple[str, list[float]]) -> tuple[int, float]:
            metric = self.metrics[item[0]]
            lower = is_lower_better(metric) if self.lower_is_better is None else self.lower_is_better
            return metrics.index(metric or "value"), statistics.fmean(item[1]) * (1 if lower else -1)

        for group, scores in sorted(self.scores.items(), key=rank)[:RANKED]:
            spread = f"{statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
            heading = f"{self.metrics[group] or 'value'} " if len(metrics) > 1 else ""
            value = Text(f"{heading}{statistics.fmean(scores):.4f}")
            table.add_row(shortened(self.names[group]), value, spread, str(len(scores)))
        return table


def is_lower_better(metric: str | None) -> bool:
    """Whether a metric of this name is better when it is lower: a loss, an error, a perplexity, a duration, ..."""
    words = re.split(r"[^a-z]+", (metric or "").lower())
    return any(LOWER_IS_BETTER.fullmatch(word) for word in words)


def score_of(result: dict[str, Any], metric: str | None) -> tuple[str, float | None]:
    """Heading and score of a result: the metric, or else what its task returned; None where that is no number."""
    metrics = result.get("metrics")
    if metric is not None and isinstance(metrics, dict) and metric in metrics:
        heading, value = metric, metrics[metric]
    else:
        heading, value = "value", result.get("value")
    return heading, as_number(value)


def group_names(jobs: Sequence[Job]) -> dict[str, str]:
    """A name for each group: the words that the names of all its trials begin with."""
    common: dict[str, list[str]] = {}
    for job in jobs:
        words = re.split(r"([ -])", job.trial.name)
        pairs = zip(common.get(job.trial.group, words), words, strict=False)
        common[job.trial.group] = [a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    first = {job.trial.group: job.trial.name for job in reversed(jobs)}
    return {group: "".join(words).rstrip(" -") or first[group] for group, words in common.items()}


def shortened(name: str) -> Text:
    """A name that gives way to the numbers beside it: rich narrows columns that may wrap, and this does not wrap."""
    return Text(name, no_wrap=True, overflow="ellipsis")


def number(value: Any) -> str:
    known = as_number(value)
    if known is None:
        return ""
    return f"{known:,.0f}" if abs(known) >= 1000 else f"{known:.4g}"
