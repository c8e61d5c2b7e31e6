"""W&B online, against a server on loopback: what it is sent, what a resumed trial adds, and what an outage costs."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.runs.folder import read_rows
from rdrop_exp.runs.wandb_run import run_id
from tests.conftest import ROOT, SMALL, folder_of, merged
from tests.runs.wandb_stub import Outage, WandbStub

CLOSE_SECONDS = 3.0
TRIALS = """
import json, os, signal, sys
from rdrop_exp.config.checks import from_dict
from rdrop_exp.runs import wandb_run
from rdrop_exp.train import checkpoint, tracking, trial

wandb_run.INIT_SECONDS, tracking.CLOSE_SECONDS = 1.5, float(sys.argv[1])
saved, save = 0, checkpoint.save

def counted(folder, state):
    global saved
    save(folder, state)
    saved += 1
    if saved == stop_at:
        os.kill(os.getpid(), signal.SIGTERM)

checkpoint.save = counted
for line in sys.stdin:
    options, stop_at = json.loads(line)
    saved = 0
    try:
        trial.run(from_dict(options))
    except SystemExit:  # stopped
        pass
"""
"""Runs trials, one of each line of stdin; a checkpoint after each step, and a SIGTERM to itself after so many."""

TRACKER = """
import json, os, sys, time
from pathlib import Path
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.runs import wandb_run
from rdrop_exp.train import tracking

wandb_run.INIT_SECONDS, tracking.CLOSE_SECONDS = 1.5, float(sys.argv[1])
options, folder, steps, kill = json.loads(sys.stdin.read())
rows = Path(folder, "metrics.jsonl")
size = rows.stat().st_size if rows.exists() else 0
with tracking.Tracker(trial_spec(from_dict(options)), Path(folder), size) as tracker:
    for step in steps:
        tracker.row({"step": step, "train/loss": 1 / step})
    while kill:
        time.sleep(0.05)
        if tracker.wandb_url:
            os.kill(os.getpid(), 9)
"""
"""Logs rows without training, and kills itself once the run has started, before W&B sent a row (it waits 15 s)."""


def options(tmp_path: Path, **more: Any) -> dict[str, Any]:
    logger = {"every": 5, "tags": ["mine"]}
    return merged(
        SMALL, {"output_dir": str(tmp_path), "checkpoint_seconds": 0, "logger": logger | {"wandb": "auto"}}, more
    )


def process(code: str, stdin: str, stub: WandbStub, seconds: float = 120) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, str(CLOSE_SECONDS)],
        input=stdin,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | stub.environment(),
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def train(stub: WandbStub, *trials: tuple[dict[str, Any], int]) -> "subprocess.CompletedProcess[str]":
    done = process(TRIALS, "".join(json.dumps(trial) + "\n" for trial in trials), stub)
    assert done.returncode == 0, done.stderr
    return done


def wandb(*words: str, environment: dict[str, str] | None = None) -> str:
    """What the command `wandb` prints."""
    command = shutil.which("wandb", path=str(Path(sys.executable).parent))
    assert command
    done = subprocess.run(
        [command, *words], env=os.environ | (environment or {}), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def records(file: Path, kind: str) -> list[dict[str, Any]]:
    """What a .wandb file holds of one kind, by W&B's own reader."""
    lines = [json.loads(line) for line in wandb("leet", "inspect", "--json", str(file)).splitlines()]
    return [line[kind]["item"] for line in lines if line["type"] == kind]


def assert_complete(file: Path, result: dict[str, Any]) -> None:
    """The run's file holds every row of the trial, and its summary is the result."""
    assert [row["_step"] for row in records(file, "history")] == [5, 10, 15, 20]
    summary = json.loads(wandb("leet", "inspect", "--summary", "--json", str(file)))["summary"]
    assert_same(summary, result)


def assert_same(summary: dict[str, Any], result: dict[str, Any]) -> None:
    """W&B's summary is the trial's result."""
    final = {key: result[key] for key in ("best_epoch", "seconds")} | result["metrics"]
    assert "test/accuracy" in final
    assert {key: summary[key] for key in final} == pytest.approx(final, rel=1e-6)


def complete(o: Options) -> dict[str, Any]:
    """The result of a trial whose own files are complete."""
    folder = folder_of(o)
    assert [row["step"] for row in read_rows(folder)] == [5, 10, 15, 20]
    assert (folder / "checkpoint.pt").is_file()
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert result["status"] == "finished"
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WandbStub, dict[str, dict[str, Any]]]]:
    """A server, and options of trials that a process has run against it: stopped and resumed ones, and offline."""
    folder = tmp_path_factory.mktemp("trials")
    given = {
        "whole": options(folder, name="alpha"),
        "stopped": options(folder, name="alpha", seed=1),
        "elsewhere": options(folder, name="beta"),
        "offline": options(folder, name="gamma", logger={"wandb": "offline"}),
    }
    runs = [("whole", 0), ("stopped", 12), ("stopped", 0), ("elsewhere", 0), ("offline", 12), ("offline", 0)]
    with WandbStub() as stub:
        done = train(stub, *((given[name], stop_at) for name, stop_at in runs))
        assert done.stdout.count("Stopped by SIGTERM") == 2
        yield stub, given


def test_an_online_run_is_what_the_trial_was_and_goes_on_where_it_stopped(
    trained: tuple[WandbStub, dict[str, dict[str, Any]]],
) -> None:
    stub, given = trained
    checked = [from_dict(each) for each in (given["whole"], given["stopped"], given["elsewhere"])]
    specs = [trial_spec(o) for o in checked]
    assert list(stub.runs)[:3] == [f"{o.name}-{spec.identity}" for o, spec in zip(checked, specs, strict=True)]
    for o, spec in zip(checked, specs, strict=True):
        run, result = stub.runs[run_id(spec.identity, o.name)], complete(o)
        assert run.upserted["project"] == "rdrop-exp"
        assert run.upserted["groupName"] == o.name
        assert run.upserted["jobType"] == "digits-resnet-none"
        assert run.upserted["displayName"] == folder_of(o).name
        assert run.upserted["tags"] == ["digits", "resnet", "none", "mine"]
        assert run.config["identity"] == spec.identity
        assert run.config["group"] == spec.group
        assert run.config["seed"] == o.seed
        assert run.config["optimizer"]["lr"] == 3e-3
        assert run.config["model"]["args"] == SMALL["model"]["args"]
        assert_same(run.summary, result)
        assert run.steps == [5, 10, 15, 20]
        for row, logged in zip(read_rows(folder_of(o)), run.history.values(), strict=True):
            assert logged["train/loss"] == pytest.approx(row["train/loss"], rel=1e-6)
            assert logged["lr"] == pytest.approx(row["lr"], rel=1e-6)
    runs = list(stub.runs.values())[:3]
    assert [run.exit_codes for run in runs] == [[0], [1, 0], [0]]
    assert [run.starts for run in runs] == [1, 2, 1]
    assert stub.unknown == []


def test_rows_that_a_killed_process_did_not_send_are_sent_when_it_resumes(tmp_path: Path) -> None:
    given = options(tmp_path)
    with WandbStub() as stub:
        killed = process(TRACKER, json.dumps([given, str(tmp_path), [5, 10], True]), stub)
        (run,) = stub.runs.values()
        assert (killed.returncode, run.steps) == (-9, [])
        resumed = process(TRACKER, json.dumps([given, str(tmp_path), [15, 20], False]), stub)
        assert resumed.returncode == 0, resumed.stderr
    assert list(stub.runs.values()) == [run]
    assert (run.steps, run.starts, run.exit_codes) == ([5, 10, 15, 20], 2, [0])
    assert [row["train/loss"] for row in run.history.values()] == [1 / 5, 1 / 10, 1 / 15, 1 / 20]


def test_the_latest_offline_run_folder_is_complete_and_the_one_to_sync(
    trained: tuple[WandbStub, dict[str, dict[str, Any]]],
) -> None:
    stub, given = trained
    o = from_dict(given["offline"])
    result, name = complete(o), run_id(trial_spec(o).identity, "gamma")
    assert name not in stub.runs
    first, second = sorted(folder_of(o).glob(f"wandb/offline-run-*/run-{name}.wandb"), key=os.path.getmtime)
    assert [row["_step"] for row in records(first, "history")] == [5, 10]
    assert_complete(second, result)
    wandb("sync", str(second.parent), environment=stub.environment())
    assert stub.runs[name].steps == [5, 10, 15, 20]
    assert_same(stub.runs[name].summary, result)
    assert stub.runs[name].upserted["jobType"] == "digits-resnet-none"


def test_a_server_that_dies_costs_a_bounded_wait_and_nothing_else(tmp_path: Path) -> None:
    given = options(tmp_path)
    with WandbStub(Outage.DEATH) as stub:
        train(stub, (given, 0))
        ended = time.time()
    o = from_dict(given)
    result = complete(o)
    assert ended - (folder_of(o) / "result.json").stat().st_mtime < CLOSE_SECONDS + 15  # for leaving Python, at leisure
    assert stub.refused
    assert not stub.runs[run_id(trial_spec(o).identity, o.name)].history
    (file,) = folder_of(o).glob("wandb/run-*/*.wandb")
    assert_complete(file, result)  # `wandb sync` makes up for it


@pytest.mark.parametrize(
    ("outage", "kind"), [(Outage.AT_START, "offline-run"), (Outage.ERRORS, "run")], ids=["at-start", "later"]
)
def test_a_server_that_answers_500_costs_nothing(tmp_path: Path, outage: Outage, kind: str) -> None:
    with WandbStub(outage) as stub:
        done = process(
            TRACKER, json.dumps([options(tmp_path), str(tmp_path), [5, 10, 15, 20], False]), stub, seconds=40
        )
    assert done.returncode == 0, done.stderr
    assert stub.refused
    assert not any(run.history for run in stub.runs.values())
    assert [row["step"] for row in read_rows(tmp_path)] == [5, 10, 15, 20]
    (file,) = tmp_path.glob(f"wandb/{kind}-*/*.wandb")
    assert [row["_step"] for row in records(file, "history")] == [5, 10, 15, 20]
