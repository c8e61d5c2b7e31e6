"""What a choice is made among, and what comes of it: plain data, without I/O and without torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import Any

CONFIRM_SEED = 1000
"""Number of the first seed of the confirmation: no race gets this far."""


class Stage(StrEnum):
    PILOT = "pilot"
    RACE = "race"
    CONFIRM = "confirm"


class Regime(StrEnum):
    """A model overfits if standard noise helps it, and underfits if it hurts it (Liu et al. 2023, arXiv 2303.01500)."""

    OVERFITTING = "overfitting"
    UNDERFITTING = "underfitting"
    INCONCLUSIVE = "inconclusive"


class Outcome(StrEnum):
    GAIN = "gain"
    NO_GAIN = "no gain"
    """No setting of the race gains as much as the smallest difference worth having."""
    UNDECIDED = "undecided"


class Fate(StrEnum):
    """Why a setting has left the race."""

    DROPPED = "dropped"
    """Shown not to be better than the leader by the tolerance or more."""
    CUT = "cut"
    """Not among the best, and the budget does not reach for all."""
    PRUNED = "pruned"
    """Behind the better half early in training (`within`)."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """A regularizer, and the level of each of its axes."""

    family: str
    levels: tuple[int, ...] = ()


BASELINE = Setting("none")


@dataclass(frozen=True, slots=True)
class Axis:
    """An option that is learnt: its values, each half of the next, and the index of the published one."""

    option: str
    values: tuple[float, ...]
    start: int
    lowest: int = 0
    """Index of the first value that can be trained."""


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    axes: tuple[Axis, ...] = ()
    cost: float = 1.0
    """Of a trial, relative to the baseline's; replaced by the measured one as soon as a trial has finished."""

    @property
    def size(self) -> int:
        """Number of its settings."""
        return math.prod(len(axis.values) - axis.lowest for axis in self.axes)

    @property
    def start(self) -> Setting:
        """The published values."""
        return Setting(self.name, tuple(max(axis.start, axis.lowest) for axis in self.axes))

    def settings(self) -> list[Setting]:
        """Of all levels."""
        levels = product(*(range(axis.lowest, len(axis.values)) for axis in self.axes))
        return [Setting(self.name, each) for each in levels]

    def values(self, setting: Setting) -> dict[str, float]:
        return {axis.option: axis.values[level] for axis, level in zip(self.axes, setting.levels, strict=True)}


Trial = tuple[Setting, int]
"""A setting and the number of its seed, 0 for the first."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of a finished trial: its metric as a gain (`Scale`), and its cost in the unit of the budget. Failed: no `val`."""

    val: float | None
    test: float = 0.0
    cost: float = 1.0
    seconds: float = 0.0
    train: float | None = None
    """On training batches, where it is measured."""
    early: Mapping[float, float] = field(default_factory=dict)
    """`val` after the shares of training at which others pause, where the plan has any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is fixed before the first trial."""

    families: Mapping[Regime, tuple[Family, ...]]  # to race, by what the pilot finds
    standard: Setting  # standard noise at the rate of the pilot
    budget: float  # in trials, or in seconds
    overhead: float = 0.0  # of a round, in the unit of the budget
    smallest: float = 0.4  # smallest gain worth having
    pilot_seeds: int = 4
    pauses: tuple[float, ...] = ()  # shares of training after which the first seed of a setting may stop (`within`)
    stop_after: Stage = Stage.CONFIRM


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the pilot has found."""

    regime: Regime
    gains: tuple[float, ...]  # of standard noise over none on validation, by seed
    interval: tuple[float, float] | None
    spread: float | None  # standard deviation of those gains
    validation: tuple[float, ...]  # without noise
    train: tuple[float, ...]  # of the same trials, on training batches; empty where it is not measured
    seconds: float  # of a trial, on average
    seeds: int  # that the confirmation's part of the budget reaches for
    detectable: float | None  # gain that those find with 80 % power; None: too few seeds, or no spread


@dataclass(frozen=True, slots=True)
class Event:
    """A setting leaves the race: when, by which comparison."""

    setting: Setting
    fate: Fate
    round: int
    against: Setting | None = None
    difference: float = 0.0
    seeds: int = 0
    share: float = 1.0  # of training, after which they were compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Trials to run next, and what has been decided up to here."""

    stage: Stage
    number: int
    trials: list[Trial]
    racing: list[Setting] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)  # since the last round
    spent: float = 0.0
    note: str = ""
    findings: Findings | None = None  # in the first round after the pilot
    leader: Setting | None = None
    share: float = 1.0  # of training, after which its trials pause

    @property
    def keys(self) -> list[Any]:
        """Of its scores: trials, with the share where they pause."""
        return self.trials if self.share == 1 else [(*trial, self.share) for trial in self.trials]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    outcome: Outcome
    stage: Stage  # the last one
    best: Setting
    """What the answer is about: the leader on validation, or the best other setting where the baseline leads."""
    leader: Setting = BASELINE
    findings: Findings | None = None  # None: trials of the pilot failed
    reason: str = ""
    effect: float | None = None
    """Gain of the best over the baseline, on test if it was confirmed, else on validation."""
    interval: tuple[float, float] | None = None
    seeds: int = 0
    largest: float = math.inf  # no setting of the race gains more, by the simultaneous bounds on validation
    cost: float | None = None  # of a trial of the best, relative to the baseline's
    spent: float = 0.0
    needed: float | None = None  # if undecided: about the budget that would decide
    events: tuple[Event, ...] = ()

    @property
    def use(self) -> Setting:
        """What to train with."""
        return {Outcome.GAIN: self.best, Outcome.NO_GAIN: BASELINE}.get(self.outcome, self.leader)
