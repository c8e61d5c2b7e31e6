"""How noise changed the area under a metric while it was active, against paired trials without noise."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rdrop_exp.analysis.curves import Curve, area, area_weights, read_curve, shared_range
from rdrop_exp.report.groups import Group, Setting
from rdrop_exp.statistics.paired import mean_sd, t_interval

METRICS = {"direction_variance": "direction variance", "direction_error": "direction error"}


class Direction(StrEnum):
    LOWER = "lower"
    HIGHER = "higher"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaChange:
    """Relative change of the area under a metric against no noise: −0.1 is 10 % less."""

    metric: str
    group: str
    window: tuple[float, float]
    window_text: str
    seeds: int
    relative: float
    interval: tuple[float, float] | None
    """95 %: paired t over seeds; with one seed over mini-batches, valid for that pair of trials only."""

    @property
    def direction(self) -> Direction:
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return Direction.INCONCLUSIVE
        return Direction.LOWER if self.relative < 0 else Direction.HIGHER

    def __str__(self) -> str:
        """`early_dropout, before its cutoff (steps 0 to 50): direction variance −9.0% [−11.5%, −6.5%] (…): lower.`"""
        size = f"{self.relative:+.1%}"
        size += f" [{self.interval[0]:+.1%}, {self.interval[1]:+.1%}]" if self.interval else ""
        basis = f"{self.seeds} paired seeds" if self.seeds > 1 else "one pair of trials, interval over mini-batches"
        text = f"{self.group}, {self.window_text}: {METRICS[self.metric]} {size} ({basis}): {self.direction}."
        return text.replace("-", "−")


def area_changes(setting: Setting) -> list[AreaChange]:
    """Each group against the one without noise that differs in nothing else, if both were analysed."""
    baselines = {_other_options(group): group for group in setting.groups if group.regularizer == "none"}
    changes = []
    for group in setting.groups:
        baseline = baselines.get(_other_options(group))
        if baseline is not None and baseline is not group:
            changes += [change for name in METRICS if (change := _change(group, baseline, name)) is not None]
    return changes


def _other_options(group: Group) -> str:
    """All options but the regularizer's."""
    flat = {name: value for name, value in group.flat.items() if not name.startswith("regularizer.")}
    return json.dumps(flat, sort_keys=True, default=str)


def _change(group: Group, baseline: Group, name: str) -> AreaChange | None:
    """The change over seeds that both have; None if none has the metric over a common range."""
    baseline_curves = {trial.key: read_curve(trial) for trial in baseline.trials}
    pairs, ranges = [], []
    for trial in group.trials:
        noisy, plain = read_curve(trial), baseline_curves.get(trial.key)
        if noisy and plain:
            first, last = shared_range(noisy, plain, name)
            if first < last:
                pairs.append((noisy, plain))
                ranges.append((first, last))
    if not pairs:
        return None
    window, text = _active_window(group, pairs[0][0], min(r[0] for r in ranges), max(r[1] for r in ranges))
    # Trials that are still running may not have reached the end of the window.
    complete = [p for p, (first, last) in zip(pairs, ranges, strict=True) if first <= window[0] < window[1] <= last]
    if not complete:
        return None
    ratios = [area(*noisy.defined(name), window) / area(*plain.defined(name), window) - 1 for noisy, plain in complete]
    interval = t_interval(ratios) if len(ratios) > 1 else _interval_over_batches(*complete[0], name, window)
    return AreaChange(
        metric=name, group=group.label, window=window, window_text=text, seeds=len(ratios),
        relative=mean_sd(ratios)[0], interval=interval,
    )  # fmt: skip


def _active_window(group: Group, curve: Curve, first: float, last: float) -> tuple[tuple[float, float], str]:
    """The analysed steps at which the noise is active: (first, last), and the same in words."""
    when, epoch = group.flat.get("regularizer.when"), group.flat.get("regularizer.cutoff_epoch")
    fraction = group.flat.get("regularizer.cutoff_share")
    cutoff = round(epoch * curve.per_epoch) if epoch is not None else round((fraction or 0) * curve.total)
    if when == "early":
        return (first, min(last, cutoff)), f"before its cutoff (steps {first:g} to {min(last, cutoff):g})"
    if when == "late":
        return (max(first, cutoff), last), f"after its cutoff (steps {max(first, cutoff):g} to {last:g})"
    return (first, last), f"over steps {first:g} to {last:g}"


def _interval_over_batches(
    noisy: Curve, plain: Curve, name: str, window: tuple[float, float]
) -> tuple[float, float] | None:
    """Interval of the ratio of two areas minus one, from the intervals of their points (independent, first order)."""
    areas, margins = [], []
    for curve in (noisy, plain):
        steps, values = curve.defined(name)
        weights = area_weights(steps, window)
        half_widths = _half_widths(curve, name, steps)
        if half_widths is None:
            return None
        areas.append(math.fsum(w * v for w, v in zip(weights, values, strict=True)))
        margins.append(math.hypot(*(w * h for w, h in zip(weights, half_widths, strict=True))))
    ratio = areas[0] / areas[1]
    margin = math.hypot(margins[0] / areas[1], ratio * margins[1] / areas[1])
    return ratio - 1 - margin, ratio - 1 + margin


def _half_widths(curve: Curve, name: str, steps: Sequence[int]) -> list[float] | None:
    low, high = (dict(zip(*curve.defined(f"{name}_{end}"), strict=True)) for end in ("low", "high"))
    if any(step not in low or step not in high for step in steps):
        return None
    return [(high[step] - low[step]) / 2 for step in steps]
