"""What `rdrop-analyze` shows in one HTML file that opens offline: sentences, a table, and the metrics over steps."""

import html
import math
import time
from importlib.resources import files
from typing import Any

from rdrop_exp.analysis.curves import Curve, read_curve
from rdrop_exp.analysis.table import HEADINGS, labelled_groups
from rdrop_exp.report.groups import Group, Setting
from rdrop_exp.report.page import as_json, fill
from rdrop_exp.statistics.paired import mean_sd

FIGURES = {
    "direction_variance": "Gradient direction variance",
    "direction_error": "Gradient direction error",
    "gradient_norm": "Gradient norm, mean over mini-batches",
    "model_distance": "Model distance |w − w₀|",
    "relative_distance": "Relative model distance |w − w₀| / |w₀|",
    "variance": "Variance of a mini-batch gradient",
    "squared_bias": "Squared bias of a mini-batch gradient",
    "inconsistency": "Inconsistency: KL between noisy and clean outputs, nats",
    "divergence": "Divergence: KL between two noisy outputs, nats",
    "ece": "Calibration error (ECE), clean",
    "ece_mc": "Calibration error (ECE), Monte-Carlo dropout",
    "rate_scale": "Fraction of the full drop rates",
}
LOG_SCALE = ("variance",)


def build_page(by_setting: list[Setting], sentences: list[str], rows: list[tuple[str, ...]]) -> str:
    """The page. `rows`: cells of the table, one row per measured group, under `HEADINGS`."""
    title = ", ".join(setting.label for setting in by_setting) or "trials"
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in HEADINGS)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    here, report = files("rdrop_exp.analysis"), files("rdrop_exp.report")
    texts = {
        "title": html.escape(title),
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "css": (report / "page.css").read_text(encoding="utf-8"),
        "sentences": "".join(f'<p class="conclusion other">{html.escape(sentence)}</p>' for sentence in sentences),
        "table": f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
        "data": as_json(payload(by_setting)),
        "plotly": (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"),
        "script": "".join(path.read_text(encoding="utf-8") for path in (report / "charts.js", here / "page.js")),
    }
    return fill((here / "page.html").read_text(encoding="utf-8"), texts)


def payload(by_setting: list[Setting]) -> dict[str, Any]:
    """Lines, one per group, and a figure for each metric that any group has."""
    groups = [(label, group, curves) for label, group in labelled_groups(by_setting) if (curves := _curves(group))]
    lines, number = [], 0
    for label, group, curves in groups:
        baseline = group.regularizer == "none" and len(by_setting) == 1
        lines.append({"label": label, "seeds": len(curves), "baseline": baseline, "number": number})
        number += not baseline
    figures = []
    for name, title in FIGURES.items():
        bands = [{"line": i} | band for i, (*_, curves) in enumerate(groups) if (band := over_seeds(curves, name))]
        if bands:
            figures.append({"title": title, "log": name in LOG_SCALE, "lines": bands})
    return {"lines": lines, "figures": figures}


def _curves(group: Group) -> list[Curve]:
    return [curve for trial in group.trials if (curve := read_curve(trial)) is not None]


def over_seeds(curves: list[Curve], name: str) -> dict[str, list[float | None]] | None:
    """Steps `x`, mean `y` and a band `low`, `high`, at the steps that all seeds have.

    The band is one standard deviation over seeds, or with one seed its interval over mini-batches.
    """
    tables = [dict(zip(*curve.defined(name), strict=True)) for curve in curves]
    tables = [table for table in tables if table]
    if not tables:
        return None
    steps = sorted(set.intersection(*(set(table) for table in tables)))
    band: dict[str, list[float | None]] = {"x": [float(s) for s in steps], "y": [], "low": [], "high": []}
    lows, highs = (dict(zip(*curves[0].defined(f"{name}_{end}"), strict=True)) for end in ("low", "high"))
    for step in steps:
        mean, sd = mean_sd([table[step] for table in tables])
        low, high = (lows.get(step), highs.get(step)) if sd is None else (mean - sd, mean + sd)
        low = None if name in LOG_SCALE and low is not None and low <= 0 else low  # cannot be drawn on a log axis
        for key, value in (("y", mean), ("low", low), ("high", high)):
            band[key].append(None if value is None or not math.isfinite(value) else float(f"{value:.5g}"))
    return band
