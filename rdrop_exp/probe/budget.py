"""What `rdrop-probe` runs for a budget: how many trials, of which kind, and how long each may be. Plain arithmetic."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from rdrop_exp.config.schema import OptionError

FEWEST, USUAL = 4, 6
"""Trials below which there is nothing to compare, and below which trials are rather shortened."""
SHORTEST = 20
"""Optimizer steps of a shortened trial."""
MOST = 60
"""Trials beyond which more seeds are left to a sweep of one's own."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Seeds of each comparison: with the gentlest rate, with a stronger one, on less data, with a smaller model."""

    seeds: int
    strong: int = 0
    less_data: int = 0
    smaller: int = 0

    @property
    def trials(self) -> int:
        return 2 * self.seeds + self.strong + 2 * self.less_data + 2 * self.smaller


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was measured of a few steps, and what a trial consists of."""

    images_per_second: float
    startup: float
    """Seconds from starting a process to its first step."""
    steps: int
    """Of a trial of the user's own length."""
    batch_size: int
    evaluated: float
    """Images that such a trial validates and tests on, forwards alone."""
    slots: int

    def seconds(self, share: float = 1.0) -> float:
        """Of one trial of that share of the user's length; a forward pass is a third of a training step."""
        return share * (self.steps * self.batch_size + self.evaluated / 3) / self.images_per_second

    def wall(self, trials: int, share: float = 1.0) -> float:
        """Seconds until that many trials are done."""
        return self.startup + math.ceil(trials / self.slots) * self.seconds(share)


@dataclass(frozen=True, slots=True)
class Plan:
    layout: Layout
    share: float = 1.0
    """Of the user's own training length."""
    seconds: float | None = None
    """Estimate of the whole; None: unknown."""
    notes: list[str] = field(default_factory=list)


def layout(trials: int, *, strong: bool = True, less_data: bool = True, smaller: bool = True) -> Layout:
    """The best use of so many trials: five seeds of the verdict first, then the trends, then more seeds.

    The flags say what is possible. `OptionError` below FEWEST trials.
    """
    if trials < FEWEST:
        raise OptionError(f"--trials={trials} is too few: two seeds with and without noise are {FEWEST}")
    made = Layout(min(5, trials // 2))
    steps: list[tuple[bool, Callable[[Layout], Layout]]] = [
        (less_data, lambda m: Layout(m.seeds, m.strong, 3, m.smaller)),
        (strong, lambda m: Layout(m.seeds, m.seeds, m.less_data, m.smaller)),
        (smaller, lambda m: Layout(m.seeds, m.strong, m.less_data, 3)),
    ]
    for possible, more in steps:
        if possible and more(made).trials <= trials:
            made = more(made)
    while (more_seeds := _another_seed(made)).trials <= min(trials, MOST):
        made = more_seeds
    return made


def _another_seed(made: Layout) -> Layout:
    return Layout(made.seeds + 1, made.strong + bool(made.strong), made.less_data, made.smaller)


def for_trials(trials: int, cost: Cost | None, **possible: bool) -> Plan:
    """At most so many trials, each of the user's own length."""
    made = layout(trials, **possible)
    notes = [f"{trials - made.trials} of the {trials} trials would add nothing and are left out"] * (
        made.trials < trials
    )
    return Plan(made, seconds=cost.wall(made.trials) if cost else None, notes=notes)


def for_minutes(minutes: float, cost: Cost, **possible: bool) -> Plan:
    """As many trials as are done in the time; shortened where not even USUAL of the user's own length would be.

    `OptionError` where the time is not enough for USUAL trials of SHORTEST steps.
    """
    seconds = 60 * minutes
    if cost.wall(USUAL) <= seconds:
        rounds = int((seconds - cost.startup) / cost.seconds())
        made = layout(max(USUAL, rounds * cost.slots), **possible)
        return Plan(made, seconds=cost.wall(made.trials))
    share = (seconds - cost.startup) / (cost.wall(USUAL) - cost.startup)
    if share * cost.steps < min(SHORTEST, cost.steps):
        needed = math.ceil(cost.wall(USUAL, min(1.0, SHORTEST / cost.steps)) / 60)
        raise OptionError(
            f"--minutes={minutes:g} is too little: {USUAL} trials of {SHORTEST} steps take about {needed} minutes here"
        )
    note = (
        f"{USUAL} trials of {cost.steps} steps would take about {cost.wall(USUAL) / 60:.0f} minutes: each is cut to"
        f" {round(share * cost.steps)} steps, and what follows is about training that short"
    )
    return Plan(Layout(USUAL // 2), share, cost.wall(USUAL, share), [note])
