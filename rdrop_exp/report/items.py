"""Intervals for new seeds and new test items, from the items.npz of paired trials."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rdrop_exp.report.comparison import Comparison, Row
from rdrop_exp.report.trial import Key, Status
from rdrop_exp.runs.folder import read_items
from rdrop_exp.statistics.items import item_reach, with_items

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_FILES = 300
"""Files read for a report: beyond them only the groups that are best on validation have such intervals."""
NEW_ITEMS = {"images": "new images", "tokens": "new texts"}
"""What new test items are called."""


def add_items(comparisons: list[Comparison]) -> None:
    """Set `interval_items` of the first groups of each comparison, where their trials have kept their items."""
    left = MOST_FILES // max(1, len(comparisons))
    for comparison in comparisons:
        headline = comparison.headline
        rows = ([headline] if headline else []) + [row for row in comparison.rows if row is not headline]
        for row in rows:
            left -= len(row.difference.values) if row.difference else 0
            if left < 0:
                break
            if row.difference and row.difference.interval:
                values = _differences(row, comparison)
                if values is not None:
                    reach = item_reach(values, row.difference.level)
                    row.difference.interval_items = with_items(row.difference.interval, reach)


def _differences(row: Row, comparison: Comparison) -> "NDArray[np.float32] | None":
    """(seeds, items) group minus baseline; None where an item's value is unknown, or is not the metric's.

    None also for several splits of the data: they have other test items each, so that the seeds' interval has them.
    """
    import numpy as np

    if row.difference is None or comparison.setting.splits > 1:
        return None
    differences = []
    for key in row.difference.seeds:
        one, base = _items(row, comparison, key), _items(comparison.baseline, comparison, key)
        if one is None or base is None or len(one) != len(base):
            return None
        differences.append(one - base)
    return np.stack(differences) if len({len(one) for one in differences}) == 1 else None


def _items(row: Row, comparison: Comparison, key: Key) -> "NDArray[np.float32] | None":
    """Value of each item in the unit of the report, if their mean is the trial's metric."""
    summary = getattr(row, comparison.measure)
    (trial, *_) = [t for t in row.group.having(Status.FINISHED) if t.key == key]
    values = _read(trial.folder, comparison.measure, trial.written)
    if values is None or not len(values):
        return None
    values = values * comparison.metric.scale
    fits = abs(float(values.mean()) - summary.values[key]) <= 1e-4 * comparison.metric.scale
    return values if fits else None


@lru_cache(maxsize=2 * MOST_FILES)
def _read(folder: Path, part: str, _written: float) -> "NDArray[np.float32] | None":
    """Cached for the page that is rebuilt every few seconds."""
    values = read_items(folder).get(part)
    return None if values is None else values.astype("float32")
