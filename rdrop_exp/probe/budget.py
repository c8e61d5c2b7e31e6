"""How `rdrop-probe` spends its budget: how many trials, of which kind, and how long. Plain arithmetic."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from rdrop_exp.config.schema import OptionError

FEWEST, USUAL = 4, 6
"""Trials: fewer than FEWEST allow no comparison; rather than fewer than USUAL, trials are shortened."""
SHORTEST = 20
"""Optimizer steps of a shortened trial."""
MOST = 60
"""Trials; more seeds than this allows are left to an ordinary sweep."""


@dataclass(frozen=True, slots=True)
class SeedCounts:
    """Seeds of each comparison: lowest rate, higher rate, less data, smaller model."""

    base: int
    higher_rate: int = 0
    less_data: int = 0
    smaller_model: int = 0

    @property
    def trials(self) -> int:
        return 2 * self.base + self.higher_rate + 2 * self.less_data + 2 * self.smaller_model


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialCost:
    """Speed measured over a few steps, and the work in a full-length trial."""

    images_per_second: float
    startup: float
    """Seconds from starting a process to its first step."""
    steps: int
    batch_size: int
    evaluated: float
    """Images per trial in validation and test, forward only."""
    workers: int

    def seconds(self, length_scale: float = 1.0) -> float:
        """Of one trial of that fraction of the full length; a forward pass is a third of a training step."""
        return length_scale * (self.steps * self.batch_size + self.evaluated / 3) / self.images_per_second

    def wall(self, trials: int, length_scale: float = 1.0) -> float:
        """Seconds until that many trials are done."""
        return self.startup + math.ceil(trials / self.workers) * self.seconds(length_scale)


@dataclass(frozen=True, slots=True)
class Budget:
    seeds: SeedCounts
    length_scale: float = 1.0
    """Fraction of the full training length."""
    seconds: float | None = None
    """Estimated total; None: unknown."""
    notes: list[str] = field(default_factory=list)


def seed_counts(trials: int, *, higher_rate: bool = True, less_data: bool = True, smaller: bool = True) -> SeedCounts:
    """The best use of so many trials: five seeds for the verdict, then the trends, then more seeds.

    The flags say what is possible. `OptionError` below FEWEST trials.
    """
    if trials < FEWEST:
        raise OptionError(f"--trials={trials} is too few: two seeds with and without noise need {FEWEST}")
    counts = SeedCounts(min(5, trials // 2))
    extensions: list[tuple[bool, Callable[[SeedCounts], SeedCounts]]] = [
        (less_data, lambda c: SeedCounts(c.base, c.higher_rate, 3, c.smaller_model)),
        (higher_rate, lambda c: SeedCounts(c.base, c.base, c.less_data, c.smaller_model)),
        (smaller, lambda c: SeedCounts(c.base, c.higher_rate, c.less_data, 3)),
    ]
    for possible, extend in extensions:
        if possible and extend(counts).trials <= trials:
            counts = extend(counts)
    while (more := _another_seed(counts)).trials <= min(trials, MOST):
        counts = more
    return counts


def _another_seed(c: SeedCounts) -> SeedCounts:
    return SeedCounts(c.base + 1, c.higher_rate + bool(c.higher_rate), c.less_data, c.smaller_model)


def for_trials(trials: int, cost: TrialCost | None, **possible: bool) -> Budget:
    """At most so many trials, all of full length."""
    counts = seed_counts(trials, **possible)
    unused = trials - counts.trials
    notes = [f"{unused} of the {trials} trials would not complete another comparison and are not run"] if unused else []
    return Budget(counts, seconds=cost.wall(counts.trials) if cost else None, notes=notes)


def for_minutes(minutes: float, cost: TrialCost, **possible: bool) -> Budget:
    """As many trials as fit into the time, shortened if fewer than USUAL of full length would.

    `OptionError` if there is no time for USUAL trials of SHORTEST steps.
    """
    seconds = 60 * minutes
    if cost.wall(USUAL) <= seconds:
        rounds = int((seconds - cost.startup) / cost.seconds())
        counts = seed_counts(max(USUAL, rounds * cost.workers), **possible)
        return Budget(counts, seconds=cost.wall(counts.trials))
    length_scale = (seconds - cost.startup) / (cost.wall(USUAL) - cost.startup)
    if length_scale * cost.steps < min(SHORTEST, cost.steps):
        needed = math.ceil(cost.wall(USUAL, min(1.0, SHORTEST / cost.steps)) / 60)
        raise OptionError(
            f"--minutes={minutes:g} is too short: {USUAL} trials of {SHORTEST} steps take about {needed} min here"
        )
    note = (
        f"{USUAL} trials of {cost.steps} steps would take about {cost.wall(USUAL) / 60:.0f} min, so each is cut to"
        f" {round(length_scale * cost.steps)} steps: the result applies to training of that length"
    )
    return Budget(SeedCounts(USUAL // 2), length_scale, cost.wall(USUAL, length_scale), [note])
