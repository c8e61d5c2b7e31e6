"""The data of the page's figures: curves, and results over each swept option and each pair."""

from collections import defaultdict
from itertools import combinations
from typing import Any

from rdrop_exp.config.regularizer import RATES
from rdrop_exp.questions.flat import plain
from rdrop_exp.report.comparison import Comparison, Row, Summary
from rdrop_exp.report.curves import over_seeds
from rdrop_exp.report.rows import TASK_LOSSES
from rdrop_exp.report.trial import Status
from rdrop_exp.statistics.paired import t_interval

CURVES = 200
"""Number of groups with curves on the page: the best on validation, and the baseline."""
ANALYSES = tuple(
    f"analysis/{name}"
    for name in ("direction_variance", "direction_error", "gradient_norm", "model_distance", "inconsistency", "ece")
)
"""Metrics of trials with `analysis.every`."""
LOG_SCALE = 30
"""Ratio of the largest to the smallest value from which a numeric option has a logarithmic axis."""
PAIRS = 24
"""Maximum number of heat-maps on the page."""


def curves(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Learning curves and schedules over epochs, by the index of the group as text."""
    name = comparison.metric.name
    names = [f"train/{name}", f"val/{name}", *(f"train/{loss}" for loss in TASK_LOSSES), "train/loss", "val/loss"]
    names += [*(f"rate/{rate}" for rate in RATES), *ANALYSES]
    scales = {f"{part}/{name}": comparison.metric.scale for part in ("train", "val")}
    kept = {}
    for index, row in enumerate(comparison.rows):
        if index < CURVES or row is comparison.baseline:
            shown = (Status.FINISHED, Status.RUNNING, Status.PAUSED, Status.STOPPED)
            trials = [t for t in row.group.trials if t.status in shown]
            series = over_seeds(trials, list(dict.fromkeys(names)), scales)
            for rate in (f"rate/{rate}" for rate in RATES):  # one schedule for all seeds: no band
                if rate in series:
                    series[rate] = {"x": series[rate]["x"], "y": series[rate]["y"]}
            kept[str(index)] = series
    return kept


def trends(comparison: Comparison) -> list[dict[str, Any]]:
    """For each swept option, a line per regularizer: at each value, its best group on validation.

    A point is that group's mean on `comparison.measure`, its 95 % t interval over seeds, and the seeds.
    """
    charts, ranked = [], comparison.ranked
    for name, short in comparison.setting.swept.items():
        lines: list[dict[str, Any]] = []
        every: set[Any] = set()
        for regularizer, rows in _by_regularizer(ranked, (name,)).items():
            best: dict[Any, Row] = {}
            for row in rows:  # in the order of validation
                best.setdefault(_key(row.group.swept[name]), row)
            values = sorted(best, key=_order)
            points = [_point(value, best[value], comparison.measure) for value in values]
            lines.append({"regularizer": regularizer, "points": [point for point in points if point["seeds"]]})
            every |= best.keys()
        if len(every) > 1:
            numbers = [v for v in every if isinstance(v, int | float) and not isinstance(v, bool)]
            numeric = len(numbers) == len(every)
            log = numeric and min(numbers) > 0 and max(numbers) >= LOG_SCALE * min(numbers)
            shown = [plain(v) for v in sorted(every, key=_order)]
            charts.append({"option": short, "values": shown, "numeric": numeric, "log": log, "lines": lines})
    return charts


def _point(value: Any, row: Row, measure: str) -> dict[str, Any]:
    summary: Summary = getattr(row, measure)
    values = [summary.values[key] for key in sorted(summary.values)]
    low, high = t_interval(values) or (None, None)
    return {"x": plain(value), "group": row.label, "mean": summary.mean, "low": low, "high": high, "seeds": values}


def pairs(comparison: Comparison) -> tuple[list[dict[str, Any]], int]:
    """For each regularizer and pair of its swept options, a matrix of validation means; and the number left out."""
    charts, ranked = [], comparison.ranked
    for one, two in combinations(comparison.setting.swept, 2):
        for regularizer, rows in _by_regularizer(ranked, (one, two)).items():
            cells: dict[tuple[Any, Any], list[float | None]] = defaultdict(list)
            for row in rows:
                cells[_key(row.group.swept[one]), _key(row.group.swept[two])].append(row.val.mean)
            xs, ys = (sorted({cell[i] for cell in cells}, key=_order) for i in (0, 1))
            if len(xs) < 2 or len(ys) < 2:
                continue
            charts.append({
                "regularizer": regularizer,
                "x": comparison.setting.swept[one],
                "y": comparison.setting.swept[two],
                "xs": [plain(x) for x in xs],
                "ys": [plain(y) for y in ys],
                "z": [[_mean(cells.get((x, y), [])) for x in xs] for y in ys],
                "n": [[len(cells.get((x, y), [])) for x in xs] for y in ys],
            })  # fmt: skip
    return charts[:PAIRS], max(0, len(charts) - PAIRS)


def _by_regularizer(ranked: list[Row], names: tuple[str, ...]) -> dict[str, list[Row]]:
    """Rows whose regularizer sweeps all of the options."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in ranked:
        if all(name in row.group.swept for name in names):
            rows[row.group.regularizer].append(row)
    return rows


def _mean(values: list[float | None]) -> float | None:
    numbers = [v for v in values if v is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _key(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else plain(value)


def _order(value: Any) -> tuple[int, float, str]:
    """null first, numbers by size, then words."""
    if value is None:
        return 0, 0.0, ""
    return (1, float(value), "") if isinstance(value, int | float) else (2, 0.0, str(value))
