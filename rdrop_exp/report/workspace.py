"""A saved W&B workspace for a sweep, by the optional package wandb-workspaces."""

import os
import warnings
from typing import TYPE_CHECKING, Any

from rdrop_exp.config.regularizer import RATES
from rdrop_exp.config.schema import OptionError, first_line
from rdrop_exp.report.comparison import Report
from rdrop_exp.report.wandb import place
from rdrop_exp.runs.wandb_run import has_key

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace


def save_workspace(report: Report) -> str:
    """Save the workspace on the server; returns its address."""
    workspace = build_workspace(report)
    if not has_key():
        raise OptionError("--workspace saves to the W&B server: set WANDB_API_KEY, or run `wandb login`")
    try:
        return str(workspace.save().url)
    except Exception as error:  # any of the package's, the server's or the network's
        raise OptionError(f"--workspace was not saved: {first_line(error)}") from error


def build_workspace(report: Report) -> "Workspace":
    """Parallel coordinates over the swept options, curves that join the seeds of a group, and cost; not saved."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # raised inside the package by pydantic
            import wandb_workspaces.reports.v2 as panels
            import wandb_workspaces.workspaces as ws
            from wandb_workspaces import expr
    except ImportError as error:
        raise OptionError("--workspace needs wandb-workspaces: pip install 'rdrop-exp[workspace]'") from error
    project, entity = place(report)
    entity = entity or os.environ.get("WANDB_ENTITY", "")
    metric = report.comparisons[0].metric.name if report.comparisons else "accuracy"
    swept = list(dict.fromkeys(name for c in report.comparisons for name in c.setting.swept))
    columns = [
        panels.ParallelCoordinatesPlotColumn(metric=panels.Config(name), display_name=name.split(".")[-1])
        for name in ["regularizer.name", *swept]
    ]
    for part in ("val", "test"):
        columns.append(panels.ParallelCoordinatesPlotColumn(metric=panels.SummaryMetric(f"{part}/{metric}")))

    def lines(title: str, *names: str) -> Any:
        joined = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
        return panels.LinePlot(title=title, x="epoch", y=list(names), max_runs_to_show=20, **joined)

    curves = [
        lines(f"validation {metric}", f"val/{metric}"),
        lines(f"training {metric}", f"train/{metric}"),
        lines("loss", "val/loss", "train/cross_entropy"),
        lines("drop rates", *(f"rate/{rate}" for rate in RATES)),
    ]
    seconds, test = panels.SummaryMetric("_runtime"), panels.SummaryMetric(f"test/{metric}")
    cost = panels.ScatterPlot(title=f"test {metric} against seconds", x=seconds, y=test)
    filters = "Metric('JobType') != 'report'"
    if len(report.experiments) == 1:
        filters += f" and Metric('Group') == {report.experiments[0]!r}"
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"rdrop-exp: {', '.join(report.experiments) or project}",
        sections=[
            ws.Section(name="Options", is_open=True, panels=[panels.ParallelCoordinatesPlot(columns=columns)]),
            ws.Section(name="Learning curves, without the seed", is_open=True, panels=curves),
            ws.Section(name="Cost", is_open=True, panels=[cost]),
        ],
        runset_settings=ws.RunsetSettings(
            filters=filters,
            groupby=[expr.Config("group")],
            pinned_columns=["config:regularizer.value.name", f"summary:val/{metric}", f"summary:test/{metric}"],
        ),
    )
