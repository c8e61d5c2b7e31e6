"""Trials that start from what another has trained end as they would alone, to the last bit; or start at step 0."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hydra_slots import PlannedTrial
from hydra_slots.sweep_plan import Job
from hydra_slots.tree import FOLDER, Tree
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.runs.folder import read_result
from rdrop_exp.train import checkpoint, trial
from rdrop_exp.train.planning import _segments, look_at
from tests.conftest import SMALL, VIT, Command, Crash, crash_at_save, folder_of, merged

NONE: dict[str, Any] = {}
LATE = {"dropout": 0.1, "when": "late", "cutoff_epoch": 1.3}
RDROP_LATE = LATE | {"drop_path": 0.2, "alpha": 1.0}
BASE = {"schedule": {"epochs": 2}, "optimizer": {"batch_size": 128, "ema": 0.9}, "logger": {"every": 4}}


def options(root: Path, model: dict[str, Any], regularizer: dict[str, Any], **values: Any) -> Options:
    return from_dict(
        merged(model, BASE, {"share_steps": True, "output_dir": str(root), "regularizer": regularizer}, values)
    )


def tree_of(trials: list[Options]) -> Tree:
    """Of a sweep of these trials, written for them."""
    jobs = []
    for index, o in enumerate(trials):
        spec = trial_spec(o, look_at(o.dataset).fingerprint)
        segments = _segments(spec, look_at(o.dataset))
        jobs.append(Job(index, [], "", PlannedTrial(spec.identity, str(folder_of(o)), "", segments=segments)))
    tree = Tree(jobs)
    tree.write()
    return tree


def run(o: Options) -> dict[str, Any]:
    result = trial.run(o)
    assert result is not None
    return result


def outcome(folder: Path) -> tuple[Any, ...]:
    """All that a trial leaves, without times, names and places."""
    result = read_result(folder)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    with np.load(folder / "items.npz") as file:
        items = {name: file[name].tolist() for name in file}
    weights = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
    return (
        [[(k, v) for k, v in row.items() if k != "images_per_second"] for row in rows],
        [result[key] for key in ("identity", "group", "status", "metrics", "best_epoch", "steps", "code", "data")],
        items,
        {name: value.tolist() for name, value in weights.items()},
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a late trial that shared nothing."""
    o = options(tmp_path_factory.mktemp("alone"), VIT, RDROP_LATE)
    run(o)
    return folder_of(o)


@pytest.mark.parametrize("model", [VIT, SMALL], ids=["vit", "resnet"])
def test_a_branch_ends_as_it_would_alone(model: dict[str, Any], expected: Path, tmp_path: Path) -> None:
    if model is SMALL:
        expected = folder_of(options(tmp_path / "alone", model, RDROP_LATE))
        run(options(tmp_path / "alone", model, RDROP_LATE))
    trials = [options(tmp_path, model, regularizer) for regularizer in (NONE, LATE, RDROP_LATE)]
    tree = tree_of(trials)
    assert (tree.saved, tree.steps) == (26, 60)
    results = [run(o) for o in trials]
    folder = folder_of(trials[2])
    assert outcome(folder) == outcome(expected)
    assert [set(result) - set(results[0]) for result in results] == [set(), {"shared_seconds"}, {"shared_seconds"}]
    assert 0 < results[2]["shared_seconds"] < results[2]["seconds"]
    assert results[2]["shared_seconds"] == results[1]["shared_seconds"]
    assert not list(folder.parent.glob(f"{FOLDER}/*.pt"))  # nobody waits any more


@pytest.mark.parametrize("what", ["gone", "damaged", "code", "weights"])
def test_a_fork_that_cannot_be_used_costs_time_and_no_result(expected: Path, tmp_path: Path, what: str) -> None:
    trunk, branch = (options(tmp_path, VIT, regularizer) for regularizer in (NONE, RDROP_LATE))
    tree_of([trunk, branch])
    run(trunk)
    (fork,) = folder_of(trunk).parent.glob(f"{FOLDER}/*.pt")
    if what == "gone":
        fork.unlink()
    elif what == "damaged":
        fork.write_bytes(fork.read_bytes()[:-9])
    else:
        saved = checkpoint.read(fork, torch.device("cpu"))
        assert saved is not None
        saved["same"][what] = "another"
        checkpoint.write(fork, saved)
    assert "shared_seconds" not in run(branch)
    assert outcome(folder_of(branch)) == outcome(expected)


def test_a_branch_that_is_killed_and_a_trunk_that_is_killed_go_on(
    expected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk, branch = (options(tmp_path, VIT, regularizer, checkpoint_seconds=0) for regularizer in (NONE, RDROP_LATE))
    tree_of([trunk, branch])
    for o, at in ((trunk, 15), (branch, 2)):
        with monkeypatch.context() as patch:
            crash_at_save(patch, at)
            with pytest.raises(Crash):
                trial.run(o)
    (fork,) = folder_of(trunk).parent.glob(f"{FOLDER}/13-*.pt")
    result = run(branch)
    assert result["shared_seconds"] > 0
    assert outcome(folder_of(branch)) == outcome(expected)
    assert fork.exists()  # the trunk may still have to start again
    run(trunk)
    assert not fork.exists()


def test_a_disk_that_is_full_costs_the_fork_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = [options(tmp_path, VIT, regularizer) for regularizer in (NONE, LATE)]
    tree_of(trials)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        original = checkpoint.write
        patch.setattr(checkpoint, "write", lambda *a, **k: (full if FOLDER in str(a[0]) else original)(*a, **k))
        assert run(trials[0])["status"] == "finished"
    assert "No space left on device" in capsys.readouterr().out
    assert "shared_seconds" not in run(trials[1])


SWEEP = (
    "model=resnet_micro_8", "dataset=digits", "schedule.epochs=2", "optimizer.batch_size=256", "logger.wandb=disabled",
    "regularizer=none,late_dropout", "regularizer.cutoff_epoch=1", "share_steps=true",
)  # fmt: skip


@pytest.mark.parametrize("launcher", [pytest.param("slots", marks=pytest.mark.slow), "basic"])
def test_a_sweep_under_any_launcher(command: Command, tmp_path: Path, launcher: str) -> None:
    words = ["hydra.launcher.slots=1"] if launcher == "slots" else ["hydra/launcher=basic"]
    done = command("-m", *SWEEP, *words, "name=mine")
    assert done.returncode == 0, done.stderr
    assert "25 % of the steps to run are shared and trained once (1 fork file)" in done.stdout
    results = [json.loads(path.read_text()) for path in (tmp_path / "outputs/mine").glob("*/result.json")]
    assert ["shared_seconds" in r for r in results if "late" in r["name"]] == [True]
    assert ["shared_seconds" in r for r in results if "none" in r["name"]] == [False]
    assert not (tmp_path / "outputs/mine" / FOLDER).exists()
