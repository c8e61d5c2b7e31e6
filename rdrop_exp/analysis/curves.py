"""The metrics over steps: `analysis/…` rows as curves, areas under them, and what noise did while it acted."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rdrop_exp.report.collect import Trial
from rdrop_exp.report.groups import Group, Setting
from rdrop_exp.report.statistics import mean_sd, t_interval
from rdrop_exp.runs.folder import read_rows

COMPARED = {"direction_variance": "direction variance", "direction_error": "direction error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One trial's analyses: `steps` in order, and for each metric a value at each step (None where there is none)."""

    steps: list[int]
    values: dict[str, list[float | None]]
    per_epoch: float
    total: float
    """Optimizer steps of the whole training."""

    def defined(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one metric, without gaps."""
        pairs = [(s, v) for s, v in zip(self.steps, self.values.get(name, []), strict=False) if v is not None]
        return [s for s, _ in pairs], [v for _, v in pairs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How much smaller or larger the area under a metric was than without noise, as a share of it."""

    metric: str
    group: str
    window: tuple[float, float]
    place: str
    """The window in words."""
    seeds: int
    share: float
    interval: tuple[float, float] | None
    """Over seeds (paired t); of a single seed over batches, and then it speaks of that one pair of trials."""

    @property
    def verdict(self) -> str:
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return "open"
        return "lower" if self.share < 0 else "higher"

    def __str__(self) -> str:
        size = f"{self.share:+.1%}"
        size += f" [{self.interval[0]:+.1%}, {self.interval[1]:+.1%}]" if self.interval else ""
        basis = f"{self.seeds} paired seeds" if self.seeds > 1 else "one pair of trials, interval over batches"
        said = "which of the two is lower cannot be told yet" if self.verdict == "open" else self.verdict
        return f"{self.group}, {self.place}: {COMPARED[self.metric]} {size} ({basis}): {said}.".replace("-", "−")


def read(trial: Trial) -> Curve | None:
    """The trial's analyses from its metrics.jsonl; None where there are none. Broken rows are passed over."""
    read_all = read_rows(trial.folder)
    rows = {r["step"]: r for r in read_all if "step" in r and any(name.startswith("analysis/") for name in r)}
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
    """What each point counts in the area under the straight lines between points, from window[0] to window[1].

    `steps` increase; `ValueError` where they do not span the window.
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


def changes(setting: Setting) -> list[Change]:
    """Each group of a setting against the one without noise that differs by nothing else, where both have analyses."""
    plain = {_without_noise(g): g for g in setting.groups if g.regularizer == "none"}
    found = []
    for group in setting.groups:
        base = plain.get(_without_noise(group))
        if base is not None and base is not group:
            found += [change for name in COMPARED if (change := _change(group, base, name)) is not None]
    return found


def _without_noise(group: Group) -> str:
    flat = {name: value for name, value in group.flat.items() if not name.startswith("regularizer.")}
    return json.dumps(flat, sort_keys=True, default=str)


def _change(group: Group, base: Group, name: str) -> Change | None:
    others = {trial.seed: read(trial) for trial in base.trials}
    found = [(read(trial), others.get(trial.seed)) for trial in group.trials]
    pairs = [(own, other, *common(own, other, name)) for own, other in found if own and other]
    pairs = [pair for pair in pairs if pair[2] < pair[3]]
    if not pairs:
        return None
    window, place = _window(group, pairs[0][0], min(pair[2] for pair in pairs), max(pair[3] for pair in pairs))
    covered = [(own, other) for own, other, first, last in pairs if first <= window[0] < window[1] <= last]
    if not covered:  # those that still train may not have come so far
        return None
    shares = [area(*own.defined(name), window) / area(*other.defined(name), window) - 1 for own, other in covered]
    interval = t_interval(shares) if len(shares) > 1 else _over_batches(*covered[0], name, window)
    return Change(
        metric=name, group=group.label, window=window, place=place, seeds=len(shares),
        share=mean_sd(shares)[0], interval=interval,
    )  # fmt: skip


def common(one: Curve, other: Curve, name: str) -> tuple[float, float]:
    """First and last step of the range in which both have the metric; the first is not the smaller where none is."""
    spans = [curve.defined(name)[0] or [0] for curve in (one, other)]
    return max(steps[0] for steps in spans), min(steps[-1] for steps in spans)


def _window(group: Group, curve: Curve, first: float, last: float) -> tuple[tuple[float, float], str]:
    """Where the noise acts, as far as it was analysed: (first, last) step, and the same in words."""
    when, epoch = group.flat.get("regularizer.when"), group.flat.get("regularizer.cutoff_epoch")
    share = group.flat.get("regularizer.cutoff_share")
    cutoff = round(epoch * curve.per_epoch) if epoch is not None else round((share or 0) * curve.total)
    if when == "early":
        return (first, min(last, cutoff)), f"before its cutoff (steps {first:g} to {min(last, cutoff):g})"
    if when == "late":
        return (max(first, cutoff), last), f"from its cutoff on (steps {max(first, cutoff):g} to {last:g})"
    return (first, last), f"over steps {first:g} to {last:g}"


def _over_batches(own: Curve, other: Curve, name: str, window: tuple[float, float]) -> tuple[float, float] | None:
    """Interval of the ratio of two areas less one, from the intervals of their points: independent, to first order."""
    areas, reaches = [], []
    for curve in (own, other):
        steps, values = curve.defined(name)
        weights = area_weights(steps, window)
        halves = _half_widths(curve, name, steps)
        if halves is None:
            return None
        areas.append(math.fsum(w * v for w, v in zip(weights, values, strict=True)))
        reaches.append(math.hypot(*(w * h for w, h in zip(weights, halves, strict=True))))
    ratio = areas[0] / areas[1]
    reach = math.hypot(reaches[0] / areas[1], ratio * reaches[1] / areas[1])
    return ratio - 1 - reach, ratio - 1 + reach


def _half_widths(curve: Curve, name: str, steps: Sequence[int]) -> list[float] | None:
    ends = [dict(zip(*curve.defined(f"{name}_{end}"), strict=True)) for end in ("low", "high")]
    if any(step not in end for step in steps for end in ends):
        return None
    return [(ends[1][step] - ends[0][step]) / 2 for step in steps]
