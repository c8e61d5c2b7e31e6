"""MLflow: a run for each trial of each experiment, where MLFLOW_TRACKING_URI says."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from rdrop_exp.config.identity import TrialSpec
from rdrop_exp.questions.flat import flatten
from rdrop_exp.runs.wandb_run import run_id


class MLflow:
    def __init__(self, client: Any, run: str) -> None:
        self.client, self.run = client, run
        self.step = max((metric.step for metric in client.get_metric_history(run, "epoch")), default=-1)

    def log(self, row: dict[str, Any]) -> None:
        if row["step"] > self.step:  # a resumed trial logs the same rows again, and MLflow would keep both
            self.step = int(row["step"])
            self.summary({name: value for name, value in row.items() if name != "step"})

    def summary(self, values: dict[str, Any]) -> None:
        now = int(time.time() * 1000)
        self.client.log_batch(self.run, metrics=[Metric(name, float(v), now, self.step) for name, v in values.items()])

    def close(self, failed: bool) -> None:
        self.client.set_terminated(self.run, "FAILED" if failed else "FINISHED")


def start(spec: TrialSpec, folder: Path, earlier: list[dict[str, Any]]) -> MLflow:
    client, project, trial = MlflowClient(), spec.options.logger.project, run_id(spec.identity, spec.options.name)
    known = client.get_experiment_by_name(project)
    experiment = known.experiment_id if known else client.create_experiment(project)
    runs = client.search_runs([experiment], f"tags.trial = '{trial}'", max_results=1)
    tags = {"trial": trial, "mlflow.runName": folder.name, "group": spec.group, "experiment": spec.options.name}
    run = runs[0] if runs else client.create_run(experiment, tags=tags)
    logger = MLflow(client, run.info.run_id)
    if not runs:
        client.log_batch(logger.run, params=[Param(k, str(v)[:500]) for k, v in flatten(asdict(spec.options)).items()])
    for row in earlier:
        logger.log(row)
    return logger
