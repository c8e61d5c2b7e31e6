"""Reading trial folders: every state a trial can be in, also the broken ones."""

import json
import os
import time
from pathlib import Path

import pytest

from hydra_slots import lock
from rdrop_exp.config.schema import OptionError
from rdrop_exp.report.collect import collect
from rdrop_exp.report.trial import Trial
from tests.report.trials import EARLY, NONE, RDROP, write_trial


def by_status(root: Path) -> dict[str, list[Trial]]:
    trials: dict[str, list[Trial]] = {}
    for trial in collect([root])[0]:
        trials.setdefault(trial.status, []).append(trial)
    return trials


def test_a_finished_trial(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, RDROP, 3, test=0.91, val=0.92)
    (trial,), copies = collect([tmp_path])
    assert copies == 0
    assert (trial.folder, trial.status, trial.seed, trial.experiment) == (folder, "finished", 3, "demo")
    assert trial.metrics["test/accuracy"] == 0.91
    assert trial.options["regularizer"]["alpha"] == 0.5
    assert (trial.seconds, trial.device, trial.versions["torch"]) == (60.0, "cpu", "2.15.0")
    assert trial.identity == folder.name.rsplit("-", 1)[1]


def test_the_group_is_everything_but_the_seed(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_trial(tmp_path, RDROP, seed)
    write_trial(tmp_path, RDROP, 2, status="started")
    write_trial(tmp_path, RDROP | {"alpha": 2.0}, 0, status="started")
    groups: dict[str, set[int]] = {}
    for trial in collect([tmp_path])[0]:
        groups.setdefault(trial.group, set()).add(trial.seed)
    assert sorted(groups.values(), key=len) == [{0}, {0, 1, 2}]


def test_failed_trials_say_why(tmp_path: Path) -> None:
    write_trial(tmp_path, RDROP, 0, status="failed")
    write_trial(tmp_path, RDROP, 1, status="failed", result={"error": None})
    write_trial(tmp_path, RDROP, 2, status="failed", result={"error": "out of\n  memory"})
    errors = [trial.error for trial in by_status(tmp_path)["failed"]]
    assert errors == ["the loss is not finite at step 120", "no reason given", "out of memory"]


def test_a_failure_that_the_runner_wrote_down_is_no_damage(tmp_path: Path) -> None:
    """As hydra_slots/queue.py writes it: without options, which are in trial.json or config.yaml, if anywhere."""
    folder = write_trial(tmp_path, RDROP, 3, status="started")
    early = tmp_path / "demo" / "digits-vit-none-s4-0123456789"
    early.mkdir()
    for path, identity in ((folder, folder.name[-10:]), (early, "0123456789")):
        record = {"identity": identity, "name": path.name, "status": "failed", "error": "killed by signal 9"}
        (path / "result.json").write_text(json.dumps(record))
    one, two = sorted(by_status(tmp_path)["failed"], key=lambda trial: trial.group)
    assert (one.error, one.group, one.identity) == ("killed by signal 9", "", "0123456789")
    assert (two.error, two.seed, two.identity) == ("killed by signal 9", 3, folder.name[-10:])
    assert two.options["regularizer"]["alpha"] == 0.5
    assert len(two.group) == 10


def test_running_or_stopped_by_age(tmp_path: Path) -> None:
    write_trial(tmp_path, RDROP, 0, status="started")
    old = write_trial(tmp_path, RDROP, 1, status="started")
    for file in old.iterdir():
        os.utime(file, (time.time() - 3600,) * 2)
    trials = by_status(tmp_path)
    assert [t.seed for t in trials["running"]] == [0]
    assert [t.seed for t in trials["stopped"]] == [1]
    assert trials["running"][0].progress == pytest.approx(0.4)


def test_running_or_stopped_by_claim(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, RDROP, 0, status="started")
    with lock.lock(folder) as mine:
        assert mine
        for file in folder.iterdir():
            os.utime(file, (time.time() - 3600,) * 2)  # a long epoch writes nothing, but the claim is held
        assert by_status(tmp_path).keys() == {"running"}
        with lock.lock(folder) as again:
            assert not again
    (folder / "metrics.jsonl").touch()
    assert by_status(tmp_path).keys() == {"stopped"}  # killed a second ago


def test_progress_passes_over_a_half_written_row(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, RDROP, 0, status="started")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 500, "epoch": 5.0, "progr')
    assert collect([tmp_path])[0][0].progress == pytest.approx(0.4)
    (folder / "metrics.jsonl").unlink()
    assert collect([tmp_path])[0][0].progress is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"status": "finished", "opt', "line 1 column 24"),
        ("", "line 1 column 1"),
        ("[1, 2]", "no JSON object"),
        ("{}", "neither finished nor failed"),
        ('{"status": "finished"}', "no options"),
        ('{"status": "finished", "options": {"no_such": 1}}', "no_such"),
        ('{"status": "finished", "options": {}, "group": "g", "metrics": [1]}', "metrics"),
    ],
)
def test_a_damaged_result_is_said(tmp_path: Path, text: str, why: str) -> None:
    write_trial(tmp_path, NONE, 0)
    (write_trial(tmp_path, NONE, 1) / "result.json").write_text(text)
    trials = by_status(tmp_path)
    assert len(trials["finished"]) == 1
    assert why in trials["damaged"][0].error


def test_results_with_odd_values_do_not_crash(tmp_path: Path) -> None:
    odd = {"metrics": {"val/accuracy": None, "test/accuracy": "?", "val/loss": float("nan")}, "seconds": "long"}
    write_trial(tmp_path, NONE, 0, result=odd | {"versions": None, "best_epoch": None, "device": None})
    (trial,), _ = collect([tmp_path])
    assert trial.metrics.keys() == {"val/loss"}
    assert trial.seconds is None


def test_unfinished_folders_that_are_damaged(tmp_path: Path) -> None:
    (write_trial(tmp_path, NONE, 0, status="started") / "config.yaml").write_text("a: [")
    (write_trial(tmp_path, NONE, 1, status="started") / "config.yaml").write_text("just text")
    (write_trial(tmp_path, NONE, 2, status="started") / "config.yaml").unlink()
    other = write_trial(tmp_path, NONE, 3, status="started") / "config.yaml"
    other.write_text(other.read_text() + "from_the_future: 1\n")
    (tmp_path / "demo" / "digits-vit_micro-none-s4-0123456789").mkdir()
    trials = by_status(tmp_path)
    assert {status: len(same) for status, same in trials.items()} == {"damaged": 3, "running": 1, "empty": 1}
    assert "another version" in trials["running"][0].error
    assert all(trial.error for same in trials.values() for trial in same)


def test_copies_count_once_and_the_finished_one_wins(tmp_path: Path) -> None:
    write_trial(tmp_path / "one", RDROP, 0, status="failed")
    write_trial(tmp_path / "two", RDROP, 0, test=0.8)
    write_trial(tmp_path / "three", RDROP, 0, status="started")
    trials, copies = collect([tmp_path / "one", tmp_path / "two", tmp_path / "three"])
    assert [(t.status, t.metrics["test/accuracy"]) for t in trials] == [("finished", 0.8)]
    assert copies == 2
    assert len(collect([tmp_path, tmp_path / "two"])[0]) == 1


def test_folders_that_are_no_trials_are_passed_over(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, EARLY, 0)
    for name in (".hydra", "wandb/offline-run-1/files", "notes"):
        (tmp_path / "demo" / name).mkdir(parents=True)
        (tmp_path / "demo" / name / ("config.yaml" if name != "notes" else "a.txt")).write_text("x: 1")
    (tmp_path / "demo" / "again").symlink_to(tmp_path / "demo")  # round and round
    (tmp_path / "sweep-2024010112").mkdir()
    (tmp_path / "sweep-2024010112" / "deeper").mkdir()
    assert [trial.folder for trial in collect([tmp_path])[0]] == [folder]
    assert [trial.folder for trial in collect([folder])[0]] == [folder]


def test_a_link_to_another_disk_is_followed(tmp_path: Path) -> None:
    write_trial(tmp_path / "far", NONE, 0)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "demo").symlink_to(tmp_path / "far" / "demo")
    assert len(collect([tmp_path / "outputs"])[0]) == 1


def test_known_trials_are_read_again_only_when_changed(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, NONE, 0)
    known: dict[str, tuple[int, Trial]] = {}
    first = collect([tmp_path], known)[0][0]
    assert collect([tmp_path], known)[0][0] is first
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | {"seconds": 7.0}))
    os.utime(folder / "result.json", (1, 1))
    assert collect([tmp_path], known)[0][0].seconds == 7.0


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no trials in"):
        collect([tmp_path])
    with pytest.raises(OptionError, match=r"folder not found: .*nowhere"):
        collect([tmp_path / "nowhere"])
