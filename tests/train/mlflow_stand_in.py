"""Stands in for MLflow's client where MLflow is not installed: what `train.loggers.mlflow` calls, in memory."""

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


@dataclass
class Metric:
    key: str
    value: float
    timestamp: int
    step: int


@dataclass
class Param:
    key: str
    value: str


@dataclass
class Run:
    info: Any
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)

    @property
    def data(self) -> "Run":
        return self


class Client:
    """One store for all clients, as a server's."""

    experiments: dict[str, str]
    runs: dict[str, Run]

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id=self.experiments[name]) if name in self.experiments else None

    def create_experiment(self, name: str) -> str:
        return self.experiments.setdefault(name, str(len(self.experiments)))

    def search_runs(self, experiment_ids: list[str], filter_string: str = "", max_results: int = 1000) -> list[Run]:
        trial = filter_string.partition("'")[2].rstrip("'")
        runs = [run for run in self.runs.values() if run.info.experiment_id in experiment_ids]
        return [run for run in runs if trial in ("", run.tags["trial"])][:max_results]

    def create_run(self, experiment_id: str, tags: dict[str, str], run_name: str) -> Run:
        info = SimpleNamespace(run_id=f"run{len(self.runs)}", experiment_id=experiment_id, status="RUNNING")
        info.run_name = run_name
        self.runs[info.run_id] = Run(info, tags)
        return self.runs[info.run_id]

    def log_batch(self, run_id: str, metrics: list[Metric] = [], params: list[Param] = []) -> None:  # noqa: B006
        run = self.runs[run_id]
        run.metrics += metrics
        for param in params:
            assert run.params.setdefault(param.key, param.value) == param.value, "MLflow refuses another value"

    def get_metric_history(self, run_id: str, key: str) -> list[Metric]:
        return [metric for metric in self.runs[run_id].metrics if metric.key == key]

    def set_terminated(self, run_id: str, status: str) -> None:
        self.runs[run_id].info.status = status


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `mlflow` and `mlflow.entities`, until the test ends."""
    mlflow, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    client = type("MlflowClient", (Client,), {"experiments": {}, "runs": {}})
    vars(mlflow).update(MlflowClient=client, entities=entities)
    vars(entities).update(Metric=Metric, Param=Param)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.delitem(sys.modules, "rdrop_exp.train.loggers.mlflow", raising=False)
