"""What a running choice shows: a live view of the race in a terminal, plain lines elsewhere."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
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
from rdrop_exp.statistics.paired import mean_sd, t_interval

LEFT = 4
"""Settings that have left and are shown; the others are counted."""
OTHER_LINES = 6
"""Of the view: head, note, headings, two counts and the cursor's."""


def paired(scores: Mapping[Trial, Score]) -> dict[Setting, list[float]]:
    """Setting → gains over the baseline on validation by seed, of the seeds that both have in the race."""
    values = {trial: score.val for trial, score in sorted(scores.items()) if trial[1] < CONFIRM_SEED}
    gains: dict[Setting, list[float]] = {}
    for (setting, seed), value in values.items():
        base = values.get((BASELINE, seed))
        if value is not None and base is not None:
            gains.setdefault(setting, []).append(value - base)
    return gains


def shortened(text: str) -> str:
    """For lines of 80 characters, in which the end must not be lost."""
    text = re.sub(r"cutoff_share=([\d.]+)", lambda match: f"cutoff={float(match[1]):.2g}", text)
    return text.replace(", the budget does not reach for all", "")


class Display:
    """Shows rounds; a context, in which a terminal has a live view."""

    def __init__(
        self, plan: Plan, scale: Scale, amount: Callable[[float], str], console: Console | None = None
    ) -> None:
        self.plan, self.scale, self.amount = plan, scale, amount
        self.console = console or Console(highlight=False)
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

    def end(self, events: Sequence[Event]) -> None:
        """The race is over: a file gets those who left last, a terminal the last ones again."""
        new = events[-LEFT:] if self.console.is_terminal else events[len(self.events) :]
        self.live.stop()
        for event in new:
            self.console.print(f"  {why(event, self.scale)}", markup=False, soft_wrap=True)

    def update(self, done: int) -> None:
        """So many trials of the round have ended."""
        if self.console.is_terminal and self.now:
            self.live.update(self.view(self.now, done), refresh=True)

    def view(self, now: Round, done: int) -> Group:
        """The round, the best in the race and who has left, as many as the terminal has lines for."""
        left = f"{self.amount(max(0.0, self.plan.budget - now.spent))} left"
        bar = ProgressBar(total=len(now.trials), completed=min(done, len(now.trials)), width=20)
        head = Table.grid(padding=(0, 2))
        head.add_row(f"Round {now.number}, {now.stage}", bar, f"{done}/{len(now.trials)} trials, {left}")
        gone = [shortened(why(event, self.scale)) for event in reversed(self.events[-LEFT:])]
        rows = [self.row(setting, now) for setting in self.ranked(now)]
        shown = max(3, self.console.height - OTHER_LINES - len(gone))
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
        table.add_column(
            f"Difference on validation ({self.scale.unit})", no_wrap=True, max_width=self.console.width - 31
        )
        for heading, width in (("", 8), ("95 %", 7), ("Seeds", 5)):
            table.add_column(heading, justify="right", width=width)
        table.add_column(width=6)
        for row in rows[:shown]:
            table.add_row(*row)
        lines = [f"  and {len(rows) - shown} more" if len(rows) > shown else "", *(f"  {line}" for line in gone)]
        lines += [f"  and {len(self.events) - len(gone)} more have left" if len(self.events) > len(gone) else ""]
        after = [Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in lines if line]
        note = [Text(f"{now.note}.", overflow="ellipsis", no_wrap=True)] if now.note else []
        return Group(head, *note, table, *after)

    def ranked(self, now: Round) -> list[Setting]:
        """The leader, the baseline, the others by their gain, and those that enter."""
        running = list(dict.fromkeys(setting for setting, _ in now.trials))
        order = {setting: mean_sd(values)[0] for setting, values in self.gains.items()}
        racing = sorted(now.racing, key=lambda s: (s != now.leader, s != BASELINE, -order.get(s, -math.inf)))
        return [*racing, *(entering(now) if racing else running)]

    def row(self, setting: Setting, now: Round) -> tuple[str, ...]:
        values = self.gains.get(setting, [])
        gain = "baseline" if setting == BASELINE else self.scale.signed(mean_sd(values)[0]) if values else ""
        low, high = t_interval(values) or (0.0, 0.0)
        error = f"± {(high - low) / 2:.{self.scale.digits}f}" if high > low else ""
        place = "leads" if setting == now.leader else "" if setting in now.racing or not now.racing else "enters"
        return shortened(label(setting)), gain, error, str(len(values)), place
