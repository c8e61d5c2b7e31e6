"""W&B online, against a server on loopback: what it is sent, what a resumed trial adds, and what an outage costs."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.runs.folder import read_rows
from rdrop_exp.runs.wandb_run import run_id
from tests.conftest import SMALL, folder_of, merged
from tests.runs.wandb_processes import CLOSE_SECONDS, TRACKER, TRIALS, process
from tests.runs.wandb_stub import Outage, WandbStub


def options(tmp_path: Path, **more: Any) -> dict[str, Any]:
    logger = {"every": 5, "tags": ["mine"]}
    return merged(
        SMALL, {"output_dir": str(tmp_path), "checkpoint_seconds": 0, "logger": logger | {"wandb": "auto"}}, more
    )


def train(
    stub: WandbStub, *trials: tuple[dict[str, Any], int], close_seconds: float = 60
) -> "subprocess.CompletedProcess[str]":
    stdin = "".join(json.dumps(trial) + "\n" for trial in trials)
    done = process(TRIALS, stdin, stub, close_seconds=close_seconds)
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


@pytest.mark.slow  # its time-outs need a core of its own
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


@pytest.mark.slow  # its time-outs need a core of its own
def test_a_server_that_dies_costs_a_bounded_wait_and_nothing_else(tmp_path: Path) -> None:
    given = options(tmp_path)
    with WandbStub(Outage.DEATH) as stub:
        done = train(stub, (given, 0), close_seconds=CLOSE_SECONDS)
        ended = time.time()
    o = from_dict(given)
    result = complete(o)
    assert ended - (folder_of(o) / "result.json").stat().st_mtime < CLOSE_SECONDS + 15  # for leaving Python, at leisure
    assert "W&B did not finish in time" in done.stderr
    assert "W&B is not logging" not in done.stderr  # once is enough
    assert stub.refused
    assert not stub.runs[run_id(trial_spec(o).identity, o.name)].history
    (file,) = folder_of(o).glob("wandb/run-*/*.wandb")
    assert_complete(file, result)  # `wandb sync` makes up for it


@pytest.mark.slow  # its time-outs need a core of its own
def test_a_server_that_answers_500_costs_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(check_errors, (Outage.AT_START, Outage.ERRORS), ("offline-run", "run"), (tmp_path,) * 2))


def check_errors(outage: Outage, kind: str, parent: Path) -> None:
    folder = parent / outage.name
    folder.mkdir()
    with WandbStub(outage) as stub:
        seconds = {"init_seconds": 1.5} if outage is Outage.AT_START else {"close_seconds": CLOSE_SECONDS}
        stdin = json.dumps([options(folder), str(folder), [5, 10, 15, 20], False])
        done = process(TRACKER, stdin, stub, **seconds)
    assert done.returncode == 0, done.stderr
    assert stub.refused
    assert not any(run.history for run in stub.runs.values())
    assert [row["step"] for row in read_rows(folder)] == [5, 10, 15, 20]
    (file,) = folder.glob(f"wandb/{kind}-*/*.wandb")
    assert [row["_step"] for row in records(file, "history")] == [5, 10, 15, 20]
