"""Further loggers hold each row once, also after a resume, and their failure costs a warning.

TensorBoard is tested with its own library; MLflow with its own where it is installed, else with a stand-in for it.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.schema import OptionError
from rdrop_exp.runs.folder import read_rows
from rdrop_exp.train import loggers, trial
from tests.conftest import SMALL, Crash, crash_at_save, folder_of, merged
from tests.train import mlflow_stand_in

ALSO = {"logger": {"also": ["tensorboard"], "every": 5}, "checkpoint_seconds": 0.0, "schedule": {"epochs": 1}}


def options(tmp_path: Path) -> Any:
    return from_dict(merged(SMALL, {"output_dir": str(tmp_path)}, ALSO))


def test_tensorboard_holds_each_row_once_after_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with monkeypatch.context() as patch:
        crash_at_save(patch, 7)
        with pytest.raises(Crash):
            trial.run(options(tmp_path))
    trial.run(options(tmp_path))
    folder = folder_of(options(tmp_path))
    events = accumulator.EventAccumulator(str(folder / "tensorboard"), purge_orphaned_data=False).Reload()
    steps = [event.step for event in events.Scalars("train/loss")]
    assert steps == [row["step"] for row in read_rows(folder)]


def test_mlflow_holds_each_row_once_after_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("mlflow") is None:
        mlflow_stand_in.install(monkeypatch)
        monkeypatch.setattr(loggers, "find_spec", lambda name: name == "mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlruns"))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    o = from_dict(merged(SMALL, {"output_dir": str(tmp_path)}, ALSO, {"logger": {"also": ["mlflow"]}}))
    with monkeypatch.context() as patch:
        crash_at_save(patch, 7)
        with pytest.raises(Crash):
            trial.run(o)
    result = trial.run(o)
    from mlflow import MlflowClient

    client, folder = MlflowClient(), folder_of(o)
    (run,) = client.search_runs([client.get_experiment_by_name(o.logger.project).experiment_id])
    assert (run.info.run_name, run.info.status) == (folder.name, "FINISHED")
    assert run.data.params["optimizer.lr"] == "0.003"
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(m.step, m.value) for m in losses] == [(row["step"], row["train/loss"]) for row in read_rows(folder)]
    (tested,) = client.get_metric_history(run.info.run_id, "final/test/accuracy")
    assert result is not None
    assert tested.value == result["metrics"]["test/accuracy"]


def test_a_missing_library_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"logger\.also=\[tensorboard\].*pip install"):
        trial.run(options(tmp_path))


def test_mlflow_without_a_place_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers, "find_spec", {"mlflow": "installed"}.get)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    with pytest.raises(OptionError, match="MLFLOW_TRACKING_URI"):
        trial.run(from_dict(merged(SMALL, {"output_dir": str(tmp_path)}, {"logger": {"also": ["mlflow"]}})))


def test_a_logger_that_fails_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(loggers, "start", fail)
    result = trial.run(options(tmp_path))
    assert result is not None
    assert result["status"] == "finished"
    assert "disk full" in caplog.text
