"""MLflow: a run for each trial of each experiment, where MLFLOW_TRACKING_URI says."""

from dataclasses import asdict
from pathlib import Path
from time import time
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from rdrop_exp.config.identity import TrialSpec
from rdrop_exp.questions.flat import flatten
from rdrop_exp.runs.folder import same_code_key
from rdrop_exp.runs.wandb_run import run_id


class Writer:
    def __init__(self, spec: TrialSpec, folder: Path) -> None:
        self.client, o = MlflowClient(), spec.options
        tags = {"trial": run_id(spec.identity, o.name, same_code_key(folder)), "group": spec.group}
        known = self.client.get_experiment_by_name(o.logger.project)
        experiment = known.experiment_id if known else self.client.create_experiment(o.logger.project)
        found = self.client.search_runs([experiment], f"tags.trial = '{tags['trial']}'", max_results=1)
        self.run = (found or [self.client.create_run(experiment, tags=tags, run_name=folder.name)])[0].info.run_id
        if not found:  # MLflow refuses other values, such as those of runtime options when a trial is resumed
            self.client.log_batch(self.run, params=[Param(k, str(v)[:500]) for k, v in flatten(asdict(o)).items()])
        self.step = max((metric.step for metric in self.client.get_metric_history(self.run, "epoch")), default=-1)

    def log(self, row: dict[str, Any]) -> None:
        if row["step"] > self.step:  # a resumed trial logs the same rows again, and MLflow would keep both
            self.step = int(row["step"])
            self.summary({name: row[name] for name in row.keys() - {"step"}})

    def summary(self, values: dict[str, Any]) -> None:
        metrics = [Metric(name, float(value), int(time() * 1000), self.step) for name, value in values.items()]
        self.client.log_batch(self.run, metrics=metrics)

    def close(self, failed: bool) -> None:
        self.client.set_terminated(self.run, "FAILED" if failed else "FINISHED")
