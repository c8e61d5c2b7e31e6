"""Log the comparison to Weights & Biases: a run of type `report` in the sweep's group.

Without a key everything is written offline, to be sent later with `wandb sync`. Nothing is ever asked, and nothing
waits for longer than its time-out.
"""

import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from rdrop_exp.config.schema import first_line
from rdrop_exp.report.comparison import Comparison, Report
from rdrop_exp.report.conclusion import conclusions
from rdrop_exp.report.expected import HEADINGS
from rdrop_exp.report.export import finite, records
from rdrop_exp.runs.wandb_run import plain_name, start_run

SECONDS = 180.0
"""Longest wait for W&B."""


def log_report(report: Report, html: str, folder: Path) -> str:
    """Log table and page as one run; returns a sentence on where they went. `folder`: where W&B keeps its files."""
    said: list[str] = []
    # W&B may hang on a bad network: the thread is a daemon, and is left behind when its time is up.
    work = threading.Thread(target=_log, args=(report, html, folder, said), daemon=True)
    work.start()
    work.join(SECONDS)
    return said[0] if said else f"W&B: no response within {SECONDS:g} seconds; the report was not logged."


def _log(report: Report, html: str, folder: Path, said: list[str]) -> None:
    try:
        import wandb

        name = ", ".join(report.experiments) or "trials"
        project, entity = place(report)
        run, why_offline = start_run(
            "auto",
            folder,
            project=project,
            entity=entity or None,
            group=report.experiments[0] if report.experiments else None,
            job_type="report",
            name=f"report {name}",
        )
        tables = {}
        for comparison in report.comparisons:
            columns, rows = as_table(comparison)
            tables[f"report/{plain_name(comparison.setting.label)}"] = wandb.Table(columns=columns, data=rows)
        if report.answers:
            answers = [list(row.cells) for row in report.answers]
            tables["report/expected"] = wandb.Table(columns=list(HEADINGS), data=answers)
        artifact = wandb.Artifact(f"report-{plain_name(name)}", type="report")
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "report.html"
            file.write_text(html, encoding="utf-8")
            artifact.add_file(str(file))
            for title, table in tables.items():
                artifact.add(table, title.split("/")[1])
            run.log_artifact(artifact)
            run.log(tables | {"report/page": wandb.Html(str(file), inject=False)})
            run.summary["conclusion"] = "\n".join(conclusions(report)).replace("`", "")
            for i, row in enumerate(report.answers, 1):
                run.summary[f"expected/{i}"] = ": ".join(row.cells[:2])
            run.finish()
        where = f"{run.settings.sync_dir} ({why_offline}: send it with `wandb sync`)" if why_offline else run.url
        said.append(f"W&B: logged table and page to group {run.group}, {where}")
    except Exception as error:  # a failure of W&B must not fail the report
        said.append(f"W&B: the report was not logged: {first_line(error)}")


def place(report: Report) -> tuple[str, str]:
    """Project and entity that most of the trials were logged to."""
    loggers = [trial.options.get("logger") or {} for trial in report.trials]
    places = Counter((str(o.get("project") or "rdrop-exp"), str(o.get("entity") or "")) for o in loggers)
    return places.most_common(1)[0][0] if places else ("rdrop-exp", "")


def as_table(comparison: Comparison) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of the comparison, the swept options among them."""
    swept = comparison.setting.swept
    rows = [
        record | {short: row.group.swept.get(name) for name, short in swept.items()}
        for row, record in zip(comparison.rows, records(comparison), strict=True)
    ]
    return list(rows[0]), [list(finite(list(row.values()))) for row in rows]
