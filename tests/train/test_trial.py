"""A trial is stopped, killed and damaged in every way, and ends as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from hydra_slots.lock import lock
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.runs.folder import read_result, write_result
from rdrop_exp.train import checkpoint, trial
from tests.conftest import SMALL, VIT, Crash, crash_at_save, folder_of, merged

NOISY: dict[str, Any] = {
    "regularizer": {"dropout": 0.2, "drop_path": 0.2, "alpha": 1.0},
    "dataset": {"mixup": 0.5, "crop": 1},
    "optimizer": {"batch_size": 64, "ema": 0.99},
    "logger": {"every": 7},
}


def options(tmp_path: Path, *values: dict[str, Any]) -> Options:
    return from_dict(merged(VIT, NOISY, {"output_dir": str(tmp_path)}, *values))


def without_times(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


@pytest.fixture(scope="module", params=[VIT, SMALL], ids=["vit", "resnet"])
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """Options of a trial with a checkpoint after each step, its result and its folder."""
    values = merged(request.param, NOISY, {"checkpoint_seconds": 0})
    o = from_dict(merged(values, {"output_dir": str(tmp_path_factory.mktemp("through"))}))
    result = trial.run(o)
    assert result is not None
    return values, result, folder_of(o)


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trial that nothing disturbed."""
    o = options(tmp_path_factory.mktemp("through"))
    trial.run(o)
    return folder_of(o)


@pytest.mark.parametrize("at", [1, 13, 20, 21, 30])
def test_going_on_from_any_step_gives_the_same_bits(
    undisturbed: tuple[dict[str, Any], dict[str, Any], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    values, expected, through = undisturbed
    stopped = from_dict(merged(values, {"output_dir": str(tmp_path)}))
    crash_at_save(monkeypatch, at)
    with pytest.raises(Crash):
        trial.run(stopped)
    found = trial.run(stopped)
    assert found is not None
    assert found["metrics"] == expected["metrics"]
    assert without_times(folder_of(stopped)) == without_times(through)
    assert (folder_of(stopped) / "items.npz").read_bytes() == (through / "items.npz").read_bytes()


def start(o: Options, tmp_path: Path) -> "subprocess.Popen[bytes]":
    """The trial in a process of its own."""
    import dataclasses

    path = tmp_path / "options.json"
    path.write_text(json.dumps(dataclasses.asdict(o)))
    code = (
        "import json, sys; from rdrop_exp.config.checks import from_dict; from rdrop_exp.train import trial;"
        " trial.run(from_dict(json.load(open(sys.argv[1]))))"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.DEVNULL)


def wait_for_step(folder: Path, step: int) -> None:
    """Until metrics.jsonl holds a row of at least that step."""
    for _ in range(6000):
        try:
            lines = (folder / "metrics.jsonl").read_text().splitlines()
            if lines and json.loads(lines[-1])["step"] >= step:
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.01)
    raise AssertionError(f"no step {step} in {folder}")


def test_sigkill_loses_nothing(tmp_path: Path) -> None:
    through = options(tmp_path / "through", {"schedule": {"epochs": 4}})
    killed = options(tmp_path / "killed", {"schedule": {"epochs": 4}, "checkpoint_seconds": 0.2})
    expected = trial.run(through)
    for step in (7, 35):
        process = start(killed, tmp_path)
        wait_for_step(folder_of(killed), step)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not read_result(folder_of(killed))
    found = trial.run(killed)
    assert expected is not None
    assert found is not None
    assert found["metrics"] == expected["metrics"]
    assert without_times(folder_of(killed)) == without_times(folder_of(through))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_saves_and_stops(tmp_path: Path, number: int, code: int) -> None:
    o = options(tmp_path, {"schedule": {"epochs": 200}})
    process = start(o, tmp_path)
    folder = folder_of(o)
    wait_for_step(folder, 7)
    process.send_signal(number)
    assert process.wait() in (code, 1 if number == signal.SIGINT else code)
    state = checkpoint.load(folder, torch.device("cpu"))
    assert state is not None
    assert state["state"]["step"] >= 7
    assert not (folder / "result.json").exists()
    assert "saved" in (folder / "log.txt").read_text()


def test_a_finished_trial_is_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    o = options(tmp_path, {"schedule": {"epochs": 1}})
    first = trial.run(o)
    before = (folder_of(o) / "result.json").stat().st_mtime_ns
    assert trial.run(o) == first
    assert (folder_of(o) / "result.json").stat().st_mtime_ns == before
    assert "Already finished" in capsys.readouterr().out


@pytest.mark.parametrize("keep", [True, False])
def test_the_tested_weights_are_left_for_another_trial(tmp_path: Path, keep: bool) -> None:
    o = options(tmp_path, SMALL, {"keep_weights": keep, "regularizer": {"alpha": 0.0}, "optimizer": {"ema": 0.0}})
    first = trial.run(o)
    assert first is not None
    files = [p.name for p in folder_of(o).glob("checkpoint*")]
    assert files == (["checkpoint.pt"] if keep else [])
    if keep:
        o.model.checkpoint = str(folder_of(o) / "checkpoint.pt")
        o.optimizer.lr = 1e-12
        o.select, o.regularizer.when, o.dataset.mixup = "last", "never", 0.0
        second = trial.run(o)
        assert second is not None  # a learning rate of nothing: it tests what it was given, but for batch statistics
        assert second["metrics"]["test/loss"] == pytest.approx(first["metrics"]["test/loss"], abs=0.2)


def test_a_trial_that_another_process_runs_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    o = options(tmp_path, {"schedule": {"epochs": 1}})
    folder = folder_of(o)
    with lock(folder) as mine:
        assert mine
        assert trial.run(o) is None
    assert "Another process" in capsys.readouterr().out
    assert not (folder / "result.json").exists()


def test_result_json_says_what_it_must(tmp_path: Path) -> None:
    o = options(tmp_path, {"schedule": {"epochs": 1}})
    trial.run(o, command="rdrop-exp seed=0")
    result = json.loads((folder_of(o) / "result.json").read_text())
    keys = {
        "identity", "group", "name", "experiment", "status", "options", "metrics", "best_epoch", "steps", "seconds",
        "images_per_second", "command", "metric", "device", "versions", "data", "code",
    }  # fmt: skip
    assert result.keys() == keys
    assert from_dict(result["options"])
    assert folder_of(o).name == f"{result['name']}-{result['identity']}"
    assert {p.name for p in folder_of(o).iterdir()} - {"code.diff"} == {  # which is there in a changed checkout
        "checkpoint.pt", "claim", "claim.1", "config.yaml", "environment.txt", "items.npz", "log.txt", "metrics.jsonl",
        "result.json", "trial.json",
    }  # fmt: skip


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path, {"step": step, "weights": torch.arange(1000.0)})
    path = tmp_path / checkpoint.NAME
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(b"" if damage == "empty" else content[:-1] if damage == "cut" else content)
    state = checkpoint.load(tmp_path, torch.device("cpu"))
    assert state is not None
    assert state["step"] == 1
    assert "damaged" in caplog.text


def test_a_checkpoint_is_also_torchs_own_format(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {"step": 3})
    assert torch.load(tmp_path / checkpoint.NAME, weights_only=True) == {"step": 3}
    assert checkpoint.load(tmp_path / "nowhere", torch.device("cpu")) is None


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_result(tmp_path, {"status": "failed"})

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_result(tmp_path, {"status": "finished"})
    assert read_result(tmp_path) == {"status": "failed"}


@pytest.mark.parametrize("keep", [True, False])
def test_a_stop_between_weights_and_result_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    through = options(tmp_path / "through", {"keep_weights": keep})
    stopped = options(tmp_path / "stopped", {"keep_weights": keep})
    trial.run(through)
    with monkeypatch.context() as crash:
        crash.setattr(trial, "write_result", lambda *_: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            trial.run(stopped)
    assert not read_result(folder_of(stopped))
    monkeypatch.setattr(trial, "train", lambda *_: pytest.fail("it has been trained already"))
    trial.run(stopped)
    assert without_times(folder_of(stopped)) == without_times(folder_of(through))
    weights = [checkpoint.load(folder_of(o), torch.device("cpu")) for o in (stopped, through)]
    assert all((w is not None) == keep for w in weights)
    if keep:
        assert all(torch.equal(v, weights[1]["model"][k]) for k, v in weights[0]["model"].items())  # type: ignore[index]


def test_a_test_that_fails_is_repeated_alone(through: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rdrop_exp.train import loop

    broken = options(tmp_path)
    original = loop.evaluate

    def fail(*arguments: Any) -> Any:
        if arguments[3].prefix == "test":
            raise OSError("truncated image")
        return original(*arguments)

    with monkeypatch.context() as context:
        context.setattr(loop, "evaluate", fail)
        with pytest.raises(OSError, match="truncated"):
            trial.run(broken)
    monkeypatch.setattr(loop, "train_step", lambda *_: pytest.fail("training has ended already"))
    trial.run(broken)
    assert without_times(folder_of(broken)) == without_times(through)


def test_another_trials_checkpoint_is_not_resumed(
    through: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own, other = options(tmp_path, {"checkpoint_seconds": 0}), options(tmp_path, {"checkpoint_seconds": 0, "seed": 5})
    for o in (own, other):
        with monkeypatch.context() as crash:
            crash_at_save(crash, at=8)
            with pytest.raises(Crash):
                trial.run(o)
    shutil.copy(folder_of(other) / checkpoint.NAME, folder_of(own) / checkpoint.NAME)
    trial.run(own)
    assert "belongs to another trial" in caplog.text
    assert without_times(folder_of(own)) == without_times(through)


@pytest.mark.parametrize("keep", [0, 100])
def test_rows_that_were_lost_are_trained_again(
    through: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int
) -> None:
    cut = options(tmp_path, {"checkpoint_seconds": 0})
    with monkeypatch.context() as crash:
        crash_at_save(crash, at=30)
        with pytest.raises(Crash):
            trial.run(cut)
    rows = folder_of(cut) / "metrics.jsonl"
    rows.write_bytes(rows.read_bytes()[:keep])
    trial.run(cut)
    assert without_times(folder_of(cut)) == without_times(through)


def test_a_second_signal_ends_a_trial_that_is_stuck(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, threading, time; from rdrop_exp.train.trial import signals\n"
        "def kill():\n"
        "    for _ in range(2):\n"
        "        time.sleep(0.3); os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=kill).start()\n"
        "with signals():\n"
        "    open(sys.argv[1])\n"  # a FIFO that nobody writes to
    )
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    done = subprocess.run([sys.executable, "-c", code, str(fifo)], timeout=60)
    assert done.returncode == 128 + signal.SIGINT


def test_the_end_of_other_processes_is_no_signal_to_stop() -> None:
    code = (
        "import signal, subprocess; from rdrop_exp.train.trial import signals\n"
        "signal.signal(signal.SIGCHLD, lambda *_: None)\n"  # as torch does for a loader's workers, for good
        "with signals() as received:\n"
        "    for _ in range(3):\n"
        "        subprocess.run(['true'], check=True)\n"
        "assert received == []\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
