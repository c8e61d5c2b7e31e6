"""W&B, offline and broken: it is fed, and it never matters."""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.runs import wandb_run
from rdrop_exp.runs.folder import read_rows
from rdrop_exp.train import trial
from tests.conftest import SMALL, folder_of, merged
from tests.runs.test_wandb_run import assert_complete, wandb


def options(tmp_path: Path, **logger: Any) -> Options:
    regularizer = {"name": "rdrop", "dropout": 0.1, "alpha": 0.5}
    return from_dict(
        merged(SMALL, {"output_dir": str(tmp_path), "regularizer": regularizer, "logger": {"every": 5, **logger}})
    )


def test_an_offline_run_is_what_the_documentation_says(tmp_path: Path) -> None:
    """The table of docs/wandb.md, row by row, read back by W&B's own reader."""
    o = options(tmp_path, wandb="auto", tags=["mine"])
    result, spec = trial.run(o), trial_spec(o)
    assert result is not None
    (file,) = folder_of(o).glob(f"wandb/offline-run-*/run-default-{spec.identity}.wandb")
    lines = [json.loads(line) for line in wandb("leet", "inspect", "--json", str(file)).splitlines()]
    (run,) = (line["run"] for line in lines if line["type"] == "run")
    about = ("run_id", "project", "run_group", "job_type", "tags")
    assert [run[key] for key in about] == [
        f"default-{spec.identity}", "rdrop-exp", "default", "digits-resnet-rdrop-p0.1-a0.5",
        ["digits", "resnet", "rdrop", "mine"],
    ]  # fmt: skip
    config = {key: value for key, value in run["config"]["update"].items() if key != "_wandb"}
    code = result["code"]
    assert config == asdict(spec.options) | {"group": spec.group, "identity": spec.identity, "code": code}
    history = [line["history"]["item"] for line in lines if line["type"] == "history"]
    rows = [row | {"_step": row["step"]} for row in read_rows(folder_of(o))]
    for logged, row in zip(history, rows, strict=True):
        kept = {key: value for key, value in logged.items() if key not in ("_runtime", "_timestamp")}
        assert kept == pytest.approx({key: value for key, value in row.items() if key != "step"})
    assert {"val/accuracy", "train/consistency", "rate/dropout"} <= set(history[-1])
    metrics = [line["metric"] for line in lines if line["type"] == "metric"]
    assert [metric["step_metric"] for metric in metrics if metric.get("glob_name") == "*"] == ["epoch"]
    assert_complete(file, result)


def test_disabled_writes_nothing_of_wandb(tmp_path: Path) -> None:
    o = options(tmp_path, wandb="disabled")
    trial.run(o)
    assert not (folder_of(o) / "wandb").exists()


def test_a_wandb_that_fails_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    def fail(**kwargs: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(wandb, "init", fail)
    result = trial.run(options(tmp_path, wandb="offline"))
    assert result is not None
    assert result["status"] == "finished"
    assert "disk full" in caplog.text


def test_an_unreachable_wandb_is_logged_offline_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    original, modes = wandb.init, []

    def init(*, mode: Any, **kwargs: Any) -> Any:
        modes.append(mode)
        if mode == "online":
            raise wandb.errors.CommError("no route to host")
        return original(mode=mode, **kwargs)

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb_run, "_unreachable", "")
    for seed in (0, 1):
        o = options(tmp_path, wandb="online")
        o.seed = seed
        trial.run(o)
        assert list(folder_of(o).glob("wandb/offline-run-*/*.wandb"))
    assert modes == ["online", "offline", "offline"]  # asked once a process
    assert "no route to host" in caplog.text


def test_rows_after_the_checkpoint_are_cut(tmp_path: Path) -> None:
    from rdrop_exp.train.tracking import Tracker

    o = options(tmp_path, wandb="disabled")
    with Tracker(trial_spec(o), tmp_path, 0) as tracker:
        kept = tracker.row({"step": 1, "train/loss": 1.0})
        tracker.row({"step": 2, "train/loss": 2.0})
    with Tracker(trial_spec(o), tmp_path, kept) as tracker:
        tracker.row({"step": 2, "train/loss": 3.0})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["train/loss"] for line in lines] == [1.0, 3.0]


def test_plain_lines_outside_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    o = options(tmp_path, wandb="disabled", progress=True)
    trial.run(o)
    out = capsys.readouterr().out
    assert re.search(r"^epoch 2  loss \d\.\d{4}  val \d+\.\d\d%  [\d,]+ images/s$", out, re.MULTILINE)
    log = (folder_of(o) / "log.txt").read_text().splitlines()
    assert [line for line in log if line in out.splitlines()] == out.splitlines()


def test_a_reader_that_goes_away_does_not_stop_a_trial(tmp_path: Path) -> None:
    words = [
        "model.args={layers: [1, 1, 1, 1], channels: [8, 8, 16, 16]}",
        "schedule.epochs=3",
        "logger.wandb=disabled",
    ]
    command = [sys.executable, "-m", "rdrop_exp", f"output_dir={tmp_path}", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=120) == 0, process.stderr.read()
    (result,) = tmp_path.glob("default/*/result.json")
    assert json.loads(result.read_text())["status"] == "finished"
