"""The comparison as one HTML file: data, style and scripts inside, nothing fetched, so that it opens offline."""

import html
import json
import re
import time
from collections import Counter
from importlib.resources import files
from typing import Any

from rdrop_exp.report import figures
from rdrop_exp.report.compare import Comparison, Report
from rdrop_exp.report.conclusion import halves, status_line
from rdrop_exp.report.export import finite, records
from rdrop_exp.report.groups import plain
from rdrop_exp.report.table import as_markdown, duration

SCRIPTS = ("charts.js", "state.js", "table.js", "figures.js", "page.js")
COMMANDS = 20
_SEED = re.compile(r" seed=(-?\d+)(?=\s|$)")
PROBLEMS = 500
"""Trials that the page lists one by one."""


def build_page(report: Report, watch: float = 0.0, data: str = "") -> str:
    """The page. `watch`: seconds between its looks for news at data.json beside it; 0: it never asks for anything.

    `data`: the report's payload as JSON, where it is at hand.
    """
    here = files("rdrop_exp.report")
    title = ", ".join(report.experiments) or "trials"
    texts = {
        "title": html.escape(title),
        "connect": "'self'" if watch else "'none'",
        "watch": f"{watch:g}",
        "css": (here / "page.css").read_text(encoding="utf-8"),
        "plotly": (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"),
        "script": "".join((here / name).read_text(encoding="utf-8") for name in SCRIPTS),
        "plain": html.escape(as_markdown(report)),
        "data": data or as_json(payload(report)),
    }
    page = (here / "page.html").read_text(encoding="utf-8")
    pieces = page.split("{{")  # no text of ours is searched for names: it may hold any characters
    return pieces[0] + "".join(texts[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces[1:]))


def as_json(values: dict[str, Any]) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(finite(values), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def payload(report: Report) -> dict[str, Any]:
    """Everything the page shows."""
    problems = [trial for trial in report.trials if trial.error or trial.status not in ("finished", "running")]
    versions = Counter(tuple(sorted(t.versions.items())) for t in report.trials if t.versions)
    return {
        "title": ", ".join(report.experiments),
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "status": status_line(report),
        "notes": report.notes,
        "comparisons": [_comparison(comparison) for comparison in report.comparisons],
        "problems": [
            {"name": t.folder.name, "status": t.status, "error": t.error, "progress": t.progress}
            for t in problems[:PROBLEMS]
        ],
        "problems_more": max(0, len(problems) - PROBLEMS),
        "versions": [dict(items) | {"trials": count} for items, count in versions.most_common()],
        "devices": dict(Counter(trial.device for trial in report.trials if trial.device).most_common()),
    }


def _comparison(made: Comparison) -> dict[str, Any]:
    rows, ranked = [], {id(row) for row in made.ranked}
    for row, values in zip(made.rows, records(made), strict=True):
        swept = {short: plain(row.group.swept[n]) for n, short in made.setting.swept.items() if n in row.group.swept}
        took = duration(row.seconds.mean) if row.seconds.mean is not None else ""
        rows.append(values | {"options": swept, "ranked": id(row) in ranked, "time": took})
    heat, left_out = figures.pairs(made)
    best = made.best
    return {
        "setting": made.setting.label,
        "answer": halves(made),
        "metric": {
            "name": made.metric.name, "percent": made.metric.scale == 100, "digits": made.metric.digits,
            "higher": made.metric.higher_is_better,
        },
        "measure": made.measure,
        "baseline": made.rows.index(made.baseline),
        "best": made.rows.index(best) if best else None,
        "notes": made.notes,
        "rows": rows,
        "curves": figures.curves(made),
        "curves_kept": figures.CURVES,
        "marginals": figures.marginals(made),
        "pairs": heat,
        "pairs_more": left_out,
        "commands": _commands(made),
    }  # fmt: skip


def _commands(made: Comparison) -> list[dict[str, Any]]:
    """The commands that make these trials again, one for all seeds; of many, those of best group and baseline."""
    finished = [(row, trial) for row in made.rows for trial in row.group.having("finished") if trial.command]
    commands = _over_seeds([trial.command for _, trial in finished])
    if len(commands) > COMMANDS:
        shown = [row for row in (made.best, made.baseline) if row]
        commands = _over_seeds([trial.command for row, trial in finished if any(row is one for one in shown)])
    return [{"command": command, "trials": count} for command, count in commands.items()][:COMMANDS]


def _over_seeds(commands: list[str]) -> dict[str, int]:
    """Commands that differ only by `seed=0`, `seed=1` become one sweep over `seed=0,1`; and the trials of each."""
    alike: dict[str, list[str]] = {}
    for command in commands:
        seed = _SEED.search(command)
        alike.setdefault(_SEED.sub(" seed=\0", command, count=1), []).append(seed[1] if seed else "")
    joined = {}
    for command, seeds in alike.items():
        different = sorted(set(seeds), key=lambda seed: (len(seed), seed))
        sweep = command.replace("rdrop-exp ", "rdrop-exp -m ", 1) if len(different) > 1 else command
        joined[sweep.replace("\0", ",".join(different))] = len(seeds)
    return joined
