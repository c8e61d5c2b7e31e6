"""What a running sweep shows: a live table in a terminal, plain lines elsewhere."""

import re
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rdrop_exp.launch.eta import duration
from rdrop_exp.launch.plan import Job
from rdrop_exp.launch.protocol import last_row

if TYPE_CHECKING:
    from rdrop_exp.launch.pool import Pool

REFRESH = 1.0  # seconds between redraws
RANKED = 12  # groups that the ranking shows


class Board:
    """Tells what happens to trials; `metric` is what it ranks their groups by."""

    def __init__(self, metric: str, jobs: Sequence[Job], console: Console | None = None) -> None:
        self.metric, self.total, self.names = metric, len(jobs), group_names(jobs)
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.scores: dict[str, list[float]] = defaultdict(list)
        self.done = self.broken = 0
        self.before = 0
        self.pool: Pool | None = None
        self.live: Live | None = None
        self.drawn = 0.0

    # -- events -----------------------------------------------------------------------------------------------------
    def say(self, line: str) -> None:
        self.console.print(line, markup=False)

    def finished(self, job: Job, result: dict[str, Any], seconds: float | None, where: str) -> None:
        """`where`: empty for a trial of this run, before or elsewhere for one that was found finished."""
        self.done += 1
        name, score = score_of(result, self.metric)
        if score is not None:
            self.scores[job.trial.group].append(score)
        if where == "before":
            self.before += 1
            return
        parts = [f"[{self.done + self.broken}/{self.total}] finished {job.trial.name}"]
        parts += [] if score is None else [f"{name} {score:.4g}"]
        parts += [] if seconds is None else [duration(seconds)]
        parts += ["by another runner"] if where == "elsewhere" else []
        self.say("  ".join(parts))

    def failed(self, job: Job, reason: str) -> None:
        self.broken += 1
        self.say(f"[{self.done + self.broken}/{self.total}] failed   {job.trial.name}  {reason}")

    # -- live view --------------------------------------------------------------------------------------------------
    @contextmanager
    def show(self, pool: "Pool") -> Iterator[None]:
        """While this lasts, a terminal shows the pool; elsewhere there are lines only."""
        self.pool = pool
        if self.before:
            self.say(f"{self.before} of {self.total} trials are finished already")
        if not self.console.is_terminal or self.before == self.total:
            yield
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as self.live:
            yield
        self.live = None

    def refresh(self) -> None:
        if self.live is not None and time.monotonic() - self.drawn > REFRESH:
            self.drawn = time.monotonic()
            self.live.update(self.view(), refresh=True)

    def view(self) -> RenderableType:
        """Overall progress, a line a slot, the ranking of the groups, and failures."""
        assert self.pool is not None
        parts: list[RenderableType] = [self.overall(), self.slots()]
        if self.scores:
            parts.append(self.ranking())
        failures = [f"failed: {job.trial.name}: {reason}" for job, reason in self.pool.ledger.failures[-5:]]
        parts += [Text(line, style="red", overflow="ellipsis", no_wrap=True) for line in failures]
        return Group(*parts)

    def rank(self) -> None:
        """Print the ranking, for good."""
        if len(self.names) > 1 and self.scores:
            self.console.print(self.ranking())

    def overall(self) -> RenderableType:
        assert self.pool is not None
        left = self.pool.left()
        row = Table.grid(padding=(0, 2))
        words = [f"{self.done}/{self.total} trials"]
        words += [f"{self.broken} failed"] if self.broken else []
        words += [f"{len(self.pool.ledger.elsewhere)} with another runner"] if self.pool.ledger.elsewhere else []
        words += [f"about {duration(left)} left"] if left is not None else []
        row.add_row(ProgressBar(total=self.total, completed=self.done + self.broken, width=40), ", ".join(words))
        return row

    def slots(self) -> RenderableType:
        assert self.pool is not None
        table = Table(box=None, padding=(0, 1), header_style="dim")
        table.add_column("slot")
        table.add_column("trial", no_wrap=True, overflow="ellipsis", ratio=1)
        for heading in ("done", "epoch", "loss", "val acc", "images/s", "MiB", "time"):
            table.add_column(heading, justify="right")
        for slot, run in self.pool.runs.items():
            row = last_row(run.job.trial.folder) if run.job and run.job.protocol else {}
            share, memory = row.get("progress"), run.worker.memory()
            table.add_row(
                str(slot).removeprefix("slot "),
                Text(run.job.trial.name if run.job else "idle"),
                f"{share:.0%}" if isinstance(share, int | float) else "",
                *(number(row.get(key)) for key in ("epoch", "train/loss", "val/accuracy", "images_per_second")),
                "" if memory is None else f"{memory:,}",
                duration(time.monotonic() - run.since) if run.job else "",
            )
        return table

    def ranking(self) -> RenderableType:
        """Groups by their mean metric over what is finished."""
        table = Table(box=None, padding=(0, 1), header_style="dim")
        table.add_column("group", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(self.metric, justify="right")
        table.add_column("sd", justify="right")
        table.add_column("n", justify="right")
        ranked = sorted(self.scores.items(), key=lambda item: -statistics.fmean(item[1]))
        for group, scores in ranked[:RANKED]:
            spread = f"{statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
            table.add_row(Text(self.names[group]), f"{statistics.fmean(scores):.4f}", spread, str(len(scores)))
        return table


def score_of(result: dict[str, Any], metric: str) -> tuple[str, float | None]:
    """The metric of a result, or else what its task returned, and what to call it; None where that is no number."""
    metrics = result.get("metrics")
    if isinstance(metrics, dict) and metric in metrics:
        name, value = metric, metrics[metric]
    else:
        name, value = "value", result.get("value")
    return name, float(value) if isinstance(value, int | float) else None


def group_names(jobs: Sequence[Job]) -> dict[str, str]:
    """What to call each group: the words that the names of all its trials begin with."""
    words: dict[str, list[str]] = {}
    for job in jobs:
        own = re.split(r"([ -])", job.trial.name)
        known = words.setdefault(job.trial.group, own)
        words[job.trial.group] = [
            a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(known, own, strict=False))
        ]
    first = {job.trial.group: job.trial.name for job in reversed(jobs)}
    return {group: "".join(common).rstrip(" -") or first[group] for group, common in words.items()}


def number(value: Any) -> str:
    if not isinstance(value, int | float):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
