"""The comparison for other programs: plain records, CSV and JSON."""

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rdrop_exp.config.schema import OptionError
from rdrop_exp.questions.flat import plain
from rdrop_exp.report.comparison import Comparison, Report, Row, Summary
from rdrop_exp.report.conclusion import conclusions
from rdrop_exp.report.ranking import ranking
from rdrop_exp.report.text import printable
from rdrop_exp.report.trial import Status


def record(row: Row, comparison: Comparison) -> dict[str, Any]:
    """One group as plain values, in the units of the report (percent for accuracies, seconds)."""
    difference = row.difference
    low, high = (difference and difference.interval) or (None, None)
    items = (difference and difference.interval_items) or (None, None)
    p_better = (difference and difference.p_better) or (None, None, None)
    flip = (difference and difference.interval_sign_flip) or (None, None)
    statuses = (Status.FINISHED, Status.RUNNING, Status.PAUSED, Status.STOPPED, Status.FAILED)
    return {
        "rank": row.rank,
        "group": row.label,
        "setting": comparison.setting.label,
        "metric": comparison.metric.name,
        "regularizer": row.group.regularizer,
        "baseline": row is comparison.baseline,
        "seeds": len(row.val.values),
        "val_mean": row.val.mean,
        "val_sd": row.val.sd,
        "test_mean": row.test.mean,
        "test_sd": row.test.sd,
        "difference": difference.mean if difference else None,
        "difference_low": low,
        "difference_high": high,
        "difference_sd": difference.sd if difference else None,
        "items_low": items[0],
        "items_high": items[1],
        "paired_seeds": len(difference.seeds) if difference else None,
        "p": difference.p if difference else None,
        "p_adjusted": difference.p_adjusted if difference else None,
        "p_sign_flip": difference.p_sign_flip if difference else None,
        "sign_flip_low": flip[0],
        "sign_flip_high": flip[1],
        "effect_size": difference.effect if difference else None,
        "p_better": p_better[0],
        "p_better_low": p_better[1],
        "p_better_high": p_better[2],
        "planned_seeds": difference.planned if difference else None,
        "interim": difference.interim if difference else None,
        "more_seeds": difference.more_seeds if difference else None,
        "verdict": str(difference.verdict) if difference else "baseline",
        "train_loss": row.train_loss.mean,
        "gap": row.gap.mean,
        "seconds": row.seconds.mean,
        "training_seconds": row.training_seconds.mean,
        "relative_cost": row.relative_cost,
        f"{comparison.unit}_per_second": row.speed.mean,
        **{str(status): len(row.group.having(status)) for status in statuses},
        "identity": row.group.identity,
    }


def by_seed(summary: Summary, comparison: Comparison) -> dict[str, float]:
    return {comparison.setting.seed_name(key): value for key, value in summary.values.items()}


def records(comparison: Comparison) -> list[dict[str, Any]]:
    return [record(row, comparison) for row in comparison.rows]


def lines_of(report: Report) -> list[dict[str, Any]]:
    """One record per group, with the value of each swept option."""
    swept = sorted({name for comparison in report.comparisons for name in comparison.setting.swept})
    return [
        record(row, c) | {name: row.group.swept.get(name) for name in swept}
        for c in report.comparisons
        for row in c.rows
    ]


def write_parquet(report: Report, path: Path) -> None:
    """As CSV, with types; a column of an option whose values differ in type is text."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise OptionError("--parquet needs pyarrow: pip install 'rdrop-exp[parquet]'") from None
    lines = lines_of(report)
    columns: dict[str, list[Any]] = {name: [line.get(name) for line in lines] for name in lines[0]} if lines else {}
    for name, values in columns.items():
        kinds = {float if type(value) is int else type(value) for value in values if value is not None}
        if len(kinds) > 1 or kinds & {list, dict}:
            columns[name] = [None if value is None else plain(value) for value in values]
    parquet.write_table(pyarrow.table(columns), path)


def as_csv(report: Report) -> str:
    """One line per group, with a column for each swept option."""
    lines = [
        line | {name: plain(line[name]) for name in row.group.swept}
        for line, row in zip(lines_of(report), (row for c in report.comparisons for row in c.rows), strict=True)
    ]
    names = list(dict.fromkeys(name for line in lines for name in line)) or ["group"]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: as_text(value) for name, value in line.items()} for line in lines])
    return out.getvalue()


def as_text(value: Any) -> Any:
    """Protect text that a spreadsheet would evaluate as a formula with a leading apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value


def as_json(report: Report) -> str:
    """Everything: conclusions, groups with their values by seed, problems, and the command of each trial."""
    comparisons = [
        {
            "setting": c.setting.label,
            "metric": c.metric.name,
            "measure": c.measure,
            "baseline": c.baseline.label,
            "notes": c.notes,
            "warnings": c.warnings,
            "groups": [
                record(row, c) | {"options": row.group.swept, "val": by_seed(row.val, c), "test": by_seed(row.test, c)}
                for row in c.rows
            ],
        }
        for c in report.comparisons
    ]
    trials = [
        {
            "folder": printable(str(t.folder)), "status": t.status, "identity": t.identity, "group": t.group,
            "seed": t.seed, "progress": t.progress, "error": t.error, "metrics": t.metrics, "command": t.command,
            "wandb": t.wandb,
        }
        for t in report.trials
    ]  # fmt: skip
    whole = {
        "conclusions": conclusions(report),
        "counts": report.counts,
        "answers": [asdict(answer) for answer in report.answers],
        "ranking": ranked.as_dict() if (ranked := ranking(report)) else None,
        "notes": report.notes,
        "comparisons": comparisons,
    }
    return json.dumps(finite(whole | {"trials": trials}), indent=1, ensure_ascii=False)


def finite(value: Any) -> Any:
    """The same value with None for NaN and infinity, which JSON lacks."""
    if isinstance(value, dict):
        return {str(key): finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
