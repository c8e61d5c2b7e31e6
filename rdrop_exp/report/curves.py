"""Learning curves and schedules of a group: metrics.jsonl of every seed, as mean and band on a common grid."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rdrop_exp.report.trial import Trial
from rdrop_exp.runs.folder import read_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Series = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]

Curve = dict[str, list[float | None]]
POINTS = 60
"""Points that a curve keeps."""
LINES = 400
"""Rows of a longer metrics.jsonl that are parsed: every k-th, and every one with a validation."""


def read(path: Path) -> "Series":
    """Each metric of a metrics.jsonl as (epochs, values); broken or half-written rows are skipped."""
    try:
        written = path.stat()
        return _read(path, written.st_mtime_ns, written.st_size)
    except OSError:
        return {}


@lru_cache(maxsize=2048)
def _read(path: Path, _mtime: int, _size: int) -> "Series":
    """Cached until the file changes, for the page that is rebuilt every few seconds."""
    import numpy as np

    points: dict[str, tuple[list[float], list[float]]] = {}
    for row in read_rows(path.parent, LINES, (b'"val/', b'"analysis/')):
        epoch = row.get("epoch")
        if not isinstance(epoch, int | float) or not abs(epoch) < 1e300:
            continue
        for name, value in row.items():
            if "/" in name and isinstance(value, int | float) and abs(value) < 1e300:
                x, y = points.setdefault(name, ([], []))
                x.append(epoch)
                y.append(value)
    return {name: (np.array(x), np.array(y)) for name, (x, y) in points.items()}


def over_seeds(trials: list[Trial], names: list[str], scales: dict[str, float]) -> dict[str, Curve]:
    """For each metric that was logged: epochs `x`, mean `y` over seeds, mean ∓ standard deviation `low`, `high`.

    A point counts the seeds that reached it; where fewer than two did, the band is null.
    """
    series = [read(trial.folder / "metrics.jsonl") for trial in trials]
    curves = {}
    for name in names:
        by_seed = [s[name] for s in series if name in s]
        if by_seed:
            curves[name] = _summary(by_seed, scales.get(name, 1.0))
    return curves


def _summary(by_seed: "list[tuple[NDArray[np.float64], NDArray[np.float64]]]", scale: float) -> Curve:
    import numpy as np

    grid = np.unique(np.concatenate([x for x, _ in by_seed]))
    if len(grid) > POINTS:
        grid = np.linspace(grid[0], grid[-1], POINTS)
    # Rows may repeat an epoch after a restart: interpolation wants increasing ones.
    values = np.full((len(by_seed), len(grid)), np.nan)
    for i, (x, y) in enumerate(by_seed):
        order = np.unique(x, return_index=True)[1]
        values[i] = np.interp(grid, x[order], y[order], left=np.nan, right=np.nan)
    values *= scale
    count = np.sum(~np.isnan(values), axis=0)
    kept = count > 0
    grid, values, count = grid[kept], values[:, kept], count[kept]
    mean = np.nansum(values, axis=0) / count
    spread = np.nansum((values - mean) ** 2, axis=0)
    sd = np.where(count > 1, np.sqrt(spread / np.maximum(count - 1, 1)), np.nan)
    return {"x": short(grid), "y": short(mean), "low": short(mean - sd), "high": short(mean + sd)}


def short(values: "NDArray[np.float64]") -> list[float | None]:
    """Five significant digits; null where there is no number."""
    return [float(f"{v:.5g}") if v == v else None for v in values.tolist()]
