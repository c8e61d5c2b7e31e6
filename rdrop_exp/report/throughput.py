"""How fast a trial trains, without its warm-up."""

from statistics import median

from rdrop_exp.runs.folder import sample_rows

THROUGHPUT_ROWS = 10
"""Number of evenly spaced rows of metrics.jsonl from which the throughput is computed."""


def steady_throughput(folder: str, unit: str = "images") -> float | None:
    """Images or tokens per second by metrics.jsonl without warm-up and hiccups; None without rows.

    The first row (warm-up) is left out if there are others. Every three consecutive rows count as their median, and
    these are averaged, so that a schedule that changes the speed during training is counted correctly.
    """
    rows = sample_rows(folder, THROUGHPUT_ROWS)
    speeds = [v for row in rows if isinstance(v := row.get(f"{unit}_per_second"), int | float) and 0 < v < 1e300]
    steady = speeds[1:] or speeds
    triples = [steady[i : i + 3] for i in range(0, len(steady), 3)]
    return len(steady) / sum(len(triple) / median(triple) for triple in triples) if steady else None
