"""The rule of the early-dropout paper, and no more than the interval shows.

A model over-fits if standard dropout helps it, and under-fits if standard dropout hurts it (Liu et al. 2023, arXiv
2303.01500); judged here on validation accuracy, between trials of the same seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rdrop_exp.report.statistics import mean_sd, seeds_needed, t_interval

LEVEL = 0.05
OVER, UNDER, OPEN = "over-fitting", "under-fitting", "cannot tell yet"


@dataclass(frozen=True, slots=True)
class Effect:
    """What standard noise at one rate changed: validation accuracy with it minus without, a share of one each seed."""

    rate: float
    differences: tuple[float, ...]
    level: float = LEVEL
    """Allowed chance of a false alarm, shared between the rates that are tested together."""

    @property
    def mean(self) -> float | None:
        return mean_sd(self.differences)[0] if self.differences else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return t_interval(self.differences, self.level)

    @property
    def sign(self) -> int:
        """1: helps, -1: hurts, 0: the interval spans zero, or there is none."""
        low, high = self.interval or (0.0, 0.0)
        return 1 if low > 0 else -1 if high < 0 else 0

    @property
    def more_seeds(self) -> int | None:
        """Further seeds that would settle it if mean and spread stayed; None where it is settled or cannot be said."""
        if self.sign or len(self.differences) < 2:
            return None
        needed = seeds_needed(*mean_sd(self.differences), self.level)
        return None if needed is None else max(1, needed - len(self.differences))

    def __str__(self) -> str:
        """`−0.52 points [−0.80, −0.24], 5 seeds`."""
        count = len(self.differences)
        if self.mean is None:
            return "no pair of finished trials"
        size = f"{100 * self.mean:+.2f} points"
        if self.interval:
            size += f" [{100 * self.interval[0]:+.2f}, {100 * self.interval[1]:+.2f}]"
        return f"{size}, {count} seed{'s' if count != 1 else ''}".replace("-", "−")


@dataclass(frozen=True, slots=True)
class Verdict:
    regime: str
    """OVER, UNDER or OPEN."""
    why: str
    rate: float | None = None
    """The rate that decided."""
    more_seeds: int | None = None
    """With OPEN: how many more seeds would settle it, where that can be said."""

    def __str__(self) -> str:
        return f"{self.regime}. {self.why[:1].upper()}{self.why[1:]}."


def effects(differences: dict[float, Sequence[float]]) -> list[Effect]:
    """One effect a rate, gentlest first; each interval is the wider for the number of rates (Bonferroni)."""
    level = LEVEL / max(1, len(differences))
    return [Effect(rate, tuple(differences[rate]), level) for rate in sorted(differences)]


def judge(found: Sequence[Effect]) -> Verdict:
    """The regime, from effects at one or more rates, gentlest first.

    A rate that helps shows over-fitting. To show under-fitting the gentlest rate must hurt: a high one hurts any model.
    """
    helps, hurts = ([e for e in found if e.sign == sign] for sign in (1, -1))
    gentlest = found[0] if found else None
    if gentlest is None or gentlest.mean is None:
        return Verdict(OPEN, "no trial with noise and its partner without have both finished")
    if helps and gentlest not in hurts:
        best = max(helps, key=lambda e: e.mean or 0.0)
        return Verdict(OVER, f"standard noise at {best.rate:g} helps: {best}", best.rate)
    if helps:
        return Verdict(OPEN, f"the rates disagree: {gentlest.rate:g} hurts and {helps[0].rate:g} helps")
    if gentlest in hurts:
        return Verdict(
            UNDER, f"standard noise hurts, at the gentlest rate {gentlest.rate:g} too: {gentlest}", gentlest.rate
        )
    if hurts:
        strong = hurts[0].rate
        why = f"{strong:g} hurts, but {gentlest.rate:g} cannot be told from no noise ({gentlest})"
        return Verdict(OPEN, why, more_seeds=gentlest.more_seeds)
    if len(gentlest.differences) < 2:
        return Verdict(OPEN, f"one pair of trials says nothing of another seed ({gentlest})")
    if gentlest.interval is None:
        return Verdict(OPEN, f"all seeds gave the same difference ({gentlest}): there is no spread to judge it by")
    closest = max(found, key=lambda e: abs(e.mean or 0.0))
    needed = [e.more_seeds for e in found if e.more_seeds is not None]
    return Verdict(
        OPEN, f"the interval spans zero: {closest} at {closest.rate:g}", more_seeds=min(needed) if needed else None
    )


def trend(here: dict[int, float], there: dict[int, float]) -> tuple[float, tuple[float, float] | None, int] | None:
    """How much more noise helps there than here, on the seeds of both: mean, interval, seeds; None without a seed."""
    both = [there[seed] - here[seed] for seed in sorted(here.keys() & there.keys())]
    return (mean_sd(both)[0], t_interval(both), len(both)) if both else None
