"""The rule of the early-dropout paper, applied only as far as the 95 % intervals allow.

A model overfits if standard dropout helps it, and underfits if standard dropout hurts it (Liu et al. 2023, arXiv
2303.01500); judged here on validation accuracy, between trials of the same seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rdrop_exp.statistics.paired import mean_sd, t_interval
from rdrop_exp.statistics.power import seeds_needed

LEVEL = 0.05


class Regime(StrEnum):
    OVERFITTING = "overfitting"
    UNDERFITTING = "underfitting"
    INCONCLUSIVE = "inconclusive"


def points(mean: float, interval: tuple[float, float] | None, seeds: int) -> str:
    """A difference of accuracies (0..1) in words: `−0.52 points [−0.80, −0.24], 5 seeds`."""
    size = f"{100 * mean:+.2f} points"
    size += f" [{100 * interval[0]:+.2f}, {100 * interval[1]:+.2f}]" if interval else ""
    return f"{size}, {seeds} seed{'s' if seeds != 1 else ''}".replace("-", "−")


@dataclass(frozen=True, slots=True)
class Effect:
    """Validation accuracy (0..1) with standard noise at one rate minus without, one difference per seed."""

    rate: float
    differences: tuple[float, ...]
    level: float = LEVEL
    """Allowed chance of a false alarm, shared by the rates that are tested together."""

    @property
    def mean(self) -> float | None:
        return mean_sd(self.differences)[0] if self.differences else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return t_interval(self.differences, self.level)

    @property
    def sign(self) -> int:
        """1: helps, -1: hurts, 0: the interval includes zero, or there is none."""
        low, high = self.interval or (0.0, 0.0)
        return 1 if low > 0 else -1 if high < 0 else 0

    @property
    def more_seeds(self) -> int | None:
        """More seeds needed for 80 % power if mean and spread stay the same; None if not needed or unknown."""
        if self.sign or len(self.differences) < 2:
            return None
        needed = seeds_needed(*mean_sd(self.differences), self.level)
        return None if needed is None else max(1, needed - len(self.differences))

    def __str__(self) -> str:
        if self.mean is None:
            return "no pair of finished trials"
        return points(self.mean, self.interval, len(self.differences))


@dataclass(frozen=True, slots=True)
class Verdict:
    regime: Regime
    reason: str
    rate: float | None = None
    """The rate that decided."""
    more_seeds: int | None = None
    """If inconclusive: more seeds needed, if that is known."""

    def __str__(self) -> str:
        return f"{self.regime}. {self.reason[:1].upper()}{self.reason[1:]}."


def effects(differences: dict[float, Sequence[float]]) -> list[Effect]:
    """One effect per rate, lowest first; with several rates each interval is wider (Bonferroni)."""
    level = LEVEL / max(1, len(differences))
    return [Effect(rate, tuple(differences[rate]), level) for rate in sorted(differences)]


def judge(effects: Sequence[Effect]) -> Verdict:
    """The regime, from effects at one or more rates, lowest first.

    A rate that helps shows overfitting. For underfitting the lowest rate must hurt: a high one hurts any model.
    """
    helps, hurts = ([e for e in effects if e.sign == sign] for sign in (1, -1))
    lowest = effects[0] if effects else None
    if lowest is None or lowest.mean is None:
        return Verdict(Regime.INCONCLUSIVE, "no pair of trials with and without noise has finished")
    if helps and lowest not in hurts:
        best = max(helps, key=lambda e: e.mean or 0.0)
        return Verdict(Regime.OVERFITTING, f"standard noise at rate {best.rate:g} helps: {best}", best.rate)
    if helps:
        why = f"the rates disagree: {lowest.rate:g} hurts but {helps[0].rate:g} helps"
        return Verdict(Regime.INCONCLUSIVE, why)
    if lowest in hurts:
        why = f"standard noise hurts even at the lowest rate, {lowest.rate:g}: {lowest}"
        return Verdict(Regime.UNDERFITTING, why, lowest.rate)
    if hurts:
        why = f"rate {hurts[0].rate:g} hurts, but rate {lowest.rate:g} does not differ significantly ({lowest})"
        return Verdict(Regime.INCONCLUSIVE, why, more_seeds=lowest.more_seeds)
    if len(lowest.differences) < 2:
        return Verdict(Regime.INCONCLUSIVE, f"one pair of trials shows no variation between seeds ({lowest})")
    if lowest.interval is None:
        why = f"the difference is the same for all seeds ({lowest}), so there is no interval"
        return Verdict(Regime.INCONCLUSIVE, why)
    largest = max(effects, key=lambda e: abs(e.mean or 0.0))
    needed = [e.more_seeds for e in effects if e.more_seeds is not None]
    confidence = 100 * (1 - largest.level)
    why = f"the {confidence:g} % interval includes zero: {largest} at rate {largest.rate:g}"
    return Verdict(Regime.INCONCLUSIVE, why, more_seeds=min(needed) if needed else None)


def trend(base: dict[int, float], changed: dict[int, float]) -> tuple[float, tuple[float, float] | None, int] | None:
    """How much more noise helps under the changed condition, on the seeds of both: mean, interval, number of seeds."""
    shared = [changed[seed] - base[seed] for seed in sorted(base.keys() & changed.keys())]
    return (mean_sd(shared)[0], t_interval(shared), len(shared)) if shared else None
