"""A trial that pauses after an epoch, and trains on as if it had not; alone, in a sweep and in a report."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from hydra_slots.eta import remaining
from hydra_slots.events import EventKind
from hydra_slots.lock import lock
from hydra_slots.queue import TrialQueue
from hydra_slots.summary import summary
from hydra_slots.sweep_plan import Job, PlannedTrial, SweepPlan
from rdrop_exp.config.canonical import canonical
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.report.trial import Status, read_trial
from rdrop_exp.runs.folder import read_rows
from rdrop_exp.train import checkpoint, trial
from tests.conftest import SMALL, Command, folder_of, merged
from tests.train.test_trial import NOISY, without_times


def options(folder: Path, *values: dict[str, Any]) -> Options:
    return from_dict(merged(SMALL, NOISY, {"output_dir": str(folder), "schedule": {"epochs": 5}}, *values))


def weights(o: Options) -> dict[str, torch.Tensor]:
    saved = checkpoint.load(folder_of(o), torch.device("cpu"))
    assert saved is not None
    return dict(saved["model"])


def test_pausing_twice_gives_the_same_bits_as_going_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"validate_every": 2, "select": "best"}
    through, parts = options(tmp_path / "through", values), options(tmp_path / "parts", values)
    folder = folder_of(parts)
    expected = trial.run(through)
    for pause, epoch in ((1, 2), (2, 2), (3, 4)):  # after a validation; the second is no step further
        parts.pause_epoch = pause
        paused = trial.run(parts)
        assert paused is not None
        assert paused["status"] == "paused"
        row = read_rows(folder)[-1]
        assert row["epoch"] == epoch
        assert paused["metrics"]["val/accuracy"] == row["val/accuracy"]
        assert not (folder / "result.json").exists()
        said = capsys.readouterr().out
        assert ("Already paused" in said) == (pause == 2)
        assert ("paused after epoch" in said) == (pause != 2)
    parts.pause_epoch = 5  # the last epoch: there is nothing to pause for
    found = trial.run(parts)
    assert expected is not None
    assert found is not None
    assert (found["status"], found["metrics"]) == ("finished", expected["metrics"])
    assert without_times(folder) == without_times(folder_of(through))
    one, other = weights(parts), weights(through)
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_an_early_end_is_no_pause_and_a_pause_keeps_the_state(tmp_path: Path) -> None:
    o = options(tmp_path, {"stop_loss": 100.0, "pause_epoch": 1})  # it ends before
    result = trial.run(o)
    assert result is not None
    assert result["status"] == "finished"
    o = options(tmp_path, {"keep_weights": False, "pause_epoch": 1, "seed": 1})
    trial.run(o)
    assert (folder_of(o) / "checkpoint.pt").exists()  # what is not kept are tested weights


def test_pausing_changes_no_identity_and_goes_by_validations() -> None:
    def at(pause: int, every: int) -> int | None:
        o = from_dict({"pause_epoch": pause, "validate_every": every, "schedule": {"epochs": 10}})
        without = from_dict({"validate_every": every, "schedule": {"epochs": 10}})
        assert trial_spec(o).identity == trial_spec(without).identity
        return canonical(o)[0].pause_epoch

    assert (at(3, 1), at(3, 4), at(9, 4), at(10, 1), at(40, 1)) == (3, 4, None, None, None)


def test_a_sweep_pauses_its_trials(command: Command, tmp_path: Path) -> None:
    words = ["debug=tiny", "model=resnet_micro_8", "dataset.image_size=8", "schedule.steps=6", "logger=local"]
    first = command("-m", *words, "name=mine", "hydra.launcher.slots=1", "pause_epoch=1")
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("] paused ") == 1
    (folder,) = (tmp_path / "outputs" / "mine").glob("*-*")
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "result.json").exists()


def test_the_launcher_takes_a_paused_trial_as_done_for_the_same_pause(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 2.0, "progress": 0.2, "val/accuracy": 0.5}\n')
    job, later = (Job(0, [], "", PlannedTrial("", str(tmp_path), "mine", pause=pause)) for pause in (2, 5))
    queue = TrialQueue([job], 0)
    assert (queue.unfinished, [event.kind for event in queue.take_events()]) == (0, [EventKind.PAUSED_EARLIER])
    assert "1 paused" in summary(SweepPlan([job]), 1, every=True)
    queue = TrialQueue([later], 0)
    assert queue.unfinished == 1
    assert remaining(later) == pytest.approx(0.3)  # from 20 to 50 %
    assert queue.next() == later
    queue.returned(later, None, 1.0)  # before epoch 5, without a result: a failure
    assert [event.kind for event in queue.take_events()] == [EventKind.FAILED]


def test_a_report_lists_it_as_paused(tmp_path: Path) -> None:
    o = options(tmp_path, {"pause_epoch": 1})
    trial.run(o)
    folder = folder_of(o)

    def status() -> Status:
        return read_trial(str(folder), {entry.name: entry for entry in os.scandir(folder)}, None).status

    assert status() == Status.PAUSED
    with lock(folder):  # it trains on
        assert status() == Status.RUNNING
