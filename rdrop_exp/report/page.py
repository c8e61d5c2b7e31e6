"""The comparison as one HTML file: data, style and scripts inside, nothing fetched, so that it opens offline."""

import html
import json
import time
from collections import Counter
from importlib.resources import files
from typing import Any

import rdrop_exp.report.figures as figures
import rdrop_exp.report.ranking as ranking
from rdrop_exp.questions.flat import plain
from rdrop_exp.report.commands import commands
from rdrop_exp.report.comparison import Comparison, Report
from rdrop_exp.report.conclusion import sentences, status_line
from rdrop_exp.report.export import finite, records
from rdrop_exp.report.table import as_markdown, duration, outlook
from rdrop_exp.report.text import printable
from rdrop_exp.report.trial import Status

SCRIPTS = (
    "charts.js", "state.js", "lines.js", "options.js", "effects.js", "ranking.js", "figures.js", "downloads.js",
    "table.js", "page.js",
)  # fmt: skip
PROBLEMS = 500
"""Maximum number of failed or unfinished trials listed on the page."""


def build_page(report: Report, watch: float = 0.0, data: str = "", section: str = "", script: str = "") -> str:
    """The page. `watch`: seconds between its requests for data.json; 0: it makes no requests.

    `data`: the report's payload as JSON, if already serialized. `section`, `script`: one more section, as HTML, and
    what draws it.
    """
    here = files("rdrop_exp.report")
    texts = {
        "title": html.escape(report.title or "Trials"),
        "connect": "'self'" if watch else "'none'",
        "watch": f"{watch:g}",
        "css": (here / "page.css").read_text(encoding="utf-8"),
        "plotly": (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"),
        "script": "".join((here / name).read_text(encoding="utf-8") for name in SCRIPTS) + script,
        "section": section,
        "plain": html.escape(as_markdown(report)),
        "data": data or as_json(payload(report)),
    }
    return fill((here / "page.html").read_text(encoding="utf-8"), texts)


def fill(template: str, texts: dict[str, str]) -> str:
    """The template with the text for each `{{name}}`; the texts may hold any characters, `{{` too."""
    pieces = template.split("{{")
    return pieces[0] + "".join(texts[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces[1:]))


def as_json(values: dict[str, Any]) -> str:
    """JSON that is safe inside a script element."""
    form: dict[str, Any] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    try:
        text = json.dumps(values, **form)
    except ValueError:  # NaN or infinity, which is rare: looking at every number takes a tenth of a second
        text = json.dumps(finite(values), **form)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def payload(report: Report) -> dict[str, Any]:
    """Everything the page shows."""
    problems = [
        trial for trial in report.trials if trial.error or trial.status not in (Status.FINISHED, Status.RUNNING)
    ]
    versions = Counter(tuple(sorted(t.versions.items())) for t in report.trials if t.versions)
    return {
        "title": report.title,
        "question": report.question,
        "created": time.strftime("%Y-%m-%d %H:%M"),
        "status": status_line(report),
        "answers": [{"answer": row.answer, "cells": row.cells} for row in report.answers],
        "notes": report.notes,
        "ranking": ranking.payload(report),
        "comparisons": [_comparison(comparison, report) for comparison in report.comparisons],
        "problems": [
            {"name": printable(t.folder.name), "status": t.status, "error": t.error, "progress": t.progress}
            for t in problems[:PROBLEMS]
        ],
        "problems_more": max(0, len(problems) - PROBLEMS),
        "versions": [dict(items) | {"trials": count} for items, count in versions.most_common()],
        "devices": dict(Counter(trial.device for trial in report.trials if trial.device).most_common()),
    }


def _comparison(comparison: Comparison, report: Report) -> dict[str, Any]:
    rows, metric = [], comparison.metric
    ranked, tied = {id(row) for row in comparison.ranked}, {id(row) for row in comparison.tied}
    for index, (row, values) in enumerate(zip(comparison.rows, records(comparison), strict=True)):
        swept = {
            short: plain(row.group.swept[n]) for n, short in comparison.setting.swept.items() if n in row.group.swept
        }
        took = duration(row.training_seconds.mean) if row.training_seconds.mean is not None else ""
        runs = [(comparison.setting.seed_name(trial.key), trial.wandb) for trial in row.group.trials if trial.wandb]
        shown = {"index": index, "options": swept, "ranked": id(row) in ranked, "tied": id(row) in tied}
        shown["outlook"] = outlook(row.difference) if row.difference else ""
        rows.append(values | shown | {"time": took, "wandb": runs})
    heat, left_out = figures.pairs(comparison)
    return {
        "setting": comparison.setting.label,
        "conclusion": sentences(comparison),
        "metric": {
            "name": metric.name, "percent": metric.percent, "digits": metric.digits,
            "higher": metric.higher_is_better,
        },
        "measure": comparison.measure,
        "baseline": comparison.rows.index(comparison.baseline),
        "notes": comparison.notes,
        "warnings": comparison.warnings,
        "rows": rows,
        "curves": figures.curves(comparison),
        "curves_kept": figures.CURVES,
        "trends": figures.trends(comparison),
        "pairs": heat,
        "pairs_more": left_out,
        "commands": commands(comparison, report.sweeps),
    }  # fmt: skip
