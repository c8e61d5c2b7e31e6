"""Pure functions of the optimizer step: how much of the full drop rate acts, and the learning rate.

Stateless, so that resuming is exact. Steps count from 0. Sources: early, late, increasing and decreasing, Liu et al.
2023 (arXiv 2303.01500) section 4; v_shaped, Zhou et al. 2020 (arXiv 2004.13342); curriculum, Morerio et al. 2017 (arXiv
1703.06229) equation 2; annealed, its mirror.
"""

import math
from collections.abc import Callable

from rdrop_exp.config.options import Schedule
from rdrop_exp.config.registry import Registry
from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.config.schema import OptionError


def _fall(ramp: str, t: int, length: int) -> float:
    """1 at t = 0 down to 0 at t = length - 1 (numpy's linspace, or half a cosine over it); constant: 1 throughout."""
    if ramp == "constant" or length < 2:
        return 1.0
    x = min(t / (length - 1), 1.0)
    return 1.0 - x if ramp == "linear" else 0.5 * (1.0 + math.cos(math.pi * x))


def early(r: Regularizer, t: int, cutoff: int, total: int) -> float:
    """Falling along the ramp from 1 to 0 at the cutoff; constant: 1 up to there."""
    return _fall(r.ramp, t, cutoff) if t < cutoff else 0.0


def late(r: Regularizer, t: int, cutoff: int, total: int) -> float:
    """0 up to the cutoff, then rising along the ramp to 1 at the end; constant: 1 from there."""
    if t < cutoff:
        return 0.0
    return 1.0 if r.ramp == "constant" else 1.0 - _fall(r.ramp, t - cutoff, total - cutoff)


def increasing(r: Regularizer, t: int, cutoff: int, total: int) -> float:
    """Rising linearly from 0 to 1 over all of training."""
    return 1.0 - _fall("linear", t, total)


def decreasing(r: Regularizer, t: int, cutoff: int, total: int) -> float:
    """Falling linearly from 1 to 0 over all of training."""
    return _fall("linear", t, total)


def v_shaped(r: Regularizer, t: int, cutoff: int, total: int) -> float:
    if t < cutoff:
        return 1.0 - t / cutoff
    return (t - cutoff) / max(total - 1 - cutoff, 1)


def curriculum(r: Regularizer, t: int, cutoff: int, total: int) -> float:
    """1 - exp(-gamma t): rising from 0."""
    return 1.0 - math.exp(-r.gamma * t)


def annealed(r: Regularizer, t: int, cutoff: int, total: int) -> float:
    """exp(-gamma t): falling from 1."""
    return math.exp(-r.gamma * t)


RATE_SCHEDULES: Registry[Callable[[Regularizer, int, int, int], float]] = Registry(
    "regularizer.when",
    {
        "never": lambda r, t, cutoff, total: 0.0,
        "always": lambda r, t, cutoff, total: 1.0,
        "early": early,
        "late": late,
        "increasing": increasing,
        "decreasing": decreasing,
        "v_shaped": v_shaped,
        "curriculum": curriculum,
        "annealed": annealed,
    },
)
"""Name → (options, step, cutoff step, total steps) → share of the full rate, 0..1."""


def cutoff_step(r: Regularizer, steps_per_epoch: int, total: int) -> int:
    """The step at which early noise ends, late noise begins or v_shaped noise is 0, rounded to a whole one."""
    if r.cutoff_share is not None:
        return round(r.cutoff_share * total)
    return round((r.cutoff_epoch or 0.0) * steps_per_epoch)


def rate_scale(r: Regularizer, step: int, steps_per_epoch: int, total: int) -> float:
    """Share of the full drop rate that acts at `step`, in 0..1; every rate of the model is multiplied by it."""
    return RATE_SCHEDULES[r.when](r, step, cutoff_step(r, steps_per_epoch, total), total)


def learning_rate(s: Schedule, step: int, steps_per_epoch: int, total: int) -> float:
    """Learning rate at `step` as a share of the base: linear warm-up from 1/warm-up to 1, then the chosen shape."""
    warmup = s.warmup_steps if s.warmup_steps is not None else round(s.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / warmup
    if s.shape == "constant":
        return 1.0
    if s.shape == "step":
        return float(s.step_factor ** (step // (s.step_epochs * steps_per_epoch)))
    if s.shape == "inverse_sqrt":  # Vaswani et al. 2017 (arXiv 1706.03762) section 5.3
        return math.sqrt(max(warmup, 1) / (step + 1))
    x = (step - warmup) / max(total - warmup, 1)
    fall = 1.0 - x if s.shape == "linear" else 0.5 * (1.0 + math.cos(math.pi * x))
    return s.final + (1.0 - s.final) * fall


def check_length(r: Regularizer, steps_per_epoch: int, total: int) -> None:
    """Refuse a cutoff that training, as long as it turns out to be, does not reach, rounds away or ends at."""
    cutoff = cutoff_step(r, steps_per_epoch, total)
    if r.cutoff_epoch is not None and not 0 < cutoff <= total:
        raise OptionError(
            f"regularizer.cutoff_epoch={r.cutoff_epoch:g} is step {cutoff} of {total}: set it between"
            f" {1 / steps_per_epoch:.2g} and {total / steps_per_epoch:g} epochs"
        )
    telling = {*range(0, total, max(1, total // 100)), min(cutoff, total - 1), total - 1}
    shares = {t: rate_scale(r, t, steps_per_epoch, total) for t in sorted(telling)}
    if wrong := [t for t, share in shares.items() if not 0 <= share <= 1]:
        raise OptionError(
            f"regularizer.when={r.when} gives {shares[wrong[0]]} at step {wrong[0]} of {total}: a share of the rate"
            " must be between 0 and 1"
        )
    if r.when != "never" and not any(shares.values()):
        where = f", whose cutoff is step {cutoff}" if r.when in ("early", "late") else ""
        raise OptionError(
            f"regularizer.when={r.when} never acts in {total} steps{where}: move the cutoff or train longer"
        )
