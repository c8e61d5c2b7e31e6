"""What a running choice shows: a live view of the race in a terminal, plain lines elsewhere."""

import math
from collections.abc import Callable, Mapping
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rdrop_exp.choose.plan import BASELINE, CONFIRM_SEED, Event, Plan, Round, Score, Setting, Trial
from rdrop_exp.choose.scale import Scale
from rdrop_exp.choose.trials import label
from rdrop_exp.choose.words import describe, entering, findings, why
from rdrop_exp.statistics.paired import mean_sd

DROPPED = 6
"""Settings that have left and are shown; the others are counted."""


def paired(scores: Mapping[Trial, Score]) -> dict[Setting, list[float]]:
    """Setting → gains over the baseline on validation by seed, of the seeds that both have in the race."""
    values = {trial: score.val for trial, score in sorted(scores.items()) if trial[1] < CONFIRM_SEED}
    gains: dict[Setting, list[float]] = {}
    for (setting, seed), value in values.items():
        base = values.get((BASELINE, seed))
        if value is not None and base is not None:
            gains.setdefault(setting, []).append(value - base)
    return gains


class Display:
    """Shows rounds; a context, in which a terminal has a live view."""

    def __init__(
        self, plan: Plan, scale: Scale, amount: Callable[[float], str], console: Console | None = None
    ) -> None:
        self.plan, self.scale, self.amount = plan, scale, amount
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, refresh_per_second=2, transient=True)
        self.events: list[Event] = []
        self.now: Round | None = None
        self.gains: dict[Setting, list[float]] = {}

    def __enter__(self) -> "Display":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.live.stop()

    def begin(self, now: Round, scores: Mapping[Trial, Score]) -> None:
        """A round begins."""
        self.now, self.gains = now, paired(scores)
        self.events += now.events
        if not self.console.is_terminal:
            print(*describe(now, self.plan, self.scale, self.amount), sep="\n", flush=True)
            return
        if now.findings:
            for line in findings(now.findings, self.plan, self.scale, self.amount):
                self.console.print(line, markup=False)
        self.update(0)

    def update(self, done: int) -> None:
        """So many trials of the round have ended."""
        if self.console.is_terminal and self.now:
            self.live.update(self.view(self.now, done), refresh=True)

    def view(self, now: Round, done: int) -> Group:
        head = Table.grid(padding=(0, 2))
        left = f"{self.amount(max(0.0, self.plan.budget - now.spent))} left"
        bar = ProgressBar(total=len(now.trials), completed=min(done, len(now.trials)), width=30)
        head.add_row(f"Round {now.number}, {now.stage}", bar, f"{done}/{len(now.trials)} trials, {left}")
        table = Table(box=None, padding=(0, 1), header_style="dim")
        table.add_column("in the race", no_wrap=True)
        for heading in (f"gain on validation ({self.scale.unit})", "± (95 %)", "seeds", ""):
            table.add_column(heading, justify="right")
        for setting in sorted(now.racing, key=lambda s: -mean_sd(self.gains.get(s, [-math.inf]))[0]):
            values = self.gains.get(setting, [])
            mean, sd = mean_sd(values) if values else (0.0, None)
            error = f"{1.96 * sd / math.sqrt(len(values)):.{self.scale.digits}f}" if sd else ""
            gain = "baseline" if setting == BASELINE else self.scale.signed(mean) if values else ""
            table.add_row(label(setting), gain, error, str(len(values)), "leads" if setting == now.leader else "")
        for setting in entering(now) if now.racing else ():
            table.add_row(label(setting), "", "", "0", "enters")
        gone = [Text(f"  {why(event, self.scale)}", style="dim", overflow="ellipsis", no_wrap=True)
                for event in self.events[-DROPPED:]]  # fmt: skip
        more = len(self.events) - len(gone)
        note = [Text(f"{now.note}.")] if now.note else []
        return Group(head, *note, table, *gone, *([Text(f"  {more} more have left", style="dim")] if more else []))
