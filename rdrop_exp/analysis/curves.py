"""The metrics over steps: `analysis/…` rows as curves, and areas under them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rdrop_exp.report.collect import Trial
from rdrop_exp.runs.folder import read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One trial's analyses: `steps` in order, and a value per step for each metric (None if missing)."""

    steps: list[int]
    values: dict[str, list[float | None]]
    per_epoch: float
    total: float
    """Optimizer steps of the whole training."""

    def defined(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one metric, without gaps."""
        pairs = [(s, v) for s, v in zip(self.steps, self.values.get(name, []), strict=False) if v is not None]
        return [s for s, _ in pairs], [v for _, v in pairs]


def read_curve(trial: Trial) -> Curve | None:
    """The trial's analyses from its metrics.jsonl, without broken rows; None if it has none."""
    all_rows = read_rows(trial.folder)
    rows = {r["step"]: r for r in all_rows if "step" in r and any(name.startswith("analysis/") for name in r)}
    if not rows:
        return None
    names = dict.fromkeys(name for row in rows.values() for name in row if name.startswith("analysis/"))
    steps = sorted(rows)
    last = rows[steps[-1]]
    return Curve(
        steps=steps,
        values={name.removeprefix("analysis/"): [rows[step].get(name) for step in steps] for name in names},
        per_epoch=last["step"] / last["epoch"] if last.get("epoch") else math.nan,
        total=last["step"] / last["progress"] if last.get("progress") else math.nan,
    )


def area_weights(steps: Sequence[float], window: tuple[float, float]) -> list[float]:
    """Each point's weight in the trapezoidal area from window[0] to window[1].

    `steps` increase; `ValueError` if they do not span the window.
    """
    low, high = window
    if len(steps) < 2 or not steps[0] <= low < high <= steps[-1]:
        raise ValueError(f"the window {low:g} to {high:g} is not within the {len(steps)} steps")
    weights = [0.0] * len(steps)
    for i, (a, b) in enumerate(pairwise(steps)):
        left, right = max(a, low), min(b, high)
        if left < right:
            middle = ((left + right) / 2 - a) / (b - a)  # a straight line's mean is its value in the middle
            weights[i] += (right - left) * (1 - middle)
            weights[i + 1] += (right - left) * middle
    return weights


def area(steps: Sequence[float], values: Sequence[float], window: tuple[float, float]) -> float:
    """Area under a curve within a window of steps."""
    return math.fsum(w * v for w, v in zip(area_weights(steps, window), values, strict=True))


def shared_range(first: Curve, second: Curve, name: str) -> tuple[float, float]:
    """First and last step of the range in which both curves have the metric; the range is empty if first >= last."""
    all_steps = [curve.defined(name)[0] or [0] for curve in (first, second)]
    return max(steps[0] for steps in all_steps), min(steps[-1] for steps in all_steps)
