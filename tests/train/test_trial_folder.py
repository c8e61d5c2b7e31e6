"""A trial's folder and checkpoint as others may leave them: read-only, full, in the way, damaged or foreign."""

import contextlib
import errno
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.schema import OptionError
from rdrop_exp.train import checkpoint, trial
from tests.conftest import VIT, Crash, crash_at_save, folder_of, merged
from tests.train.test_trial import options, without_times


def test_an_output_folder_that_cannot_be_written_is_the_options_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match="output_dir"):
        trial.run(options(tmp_path / "file"))
    if os.geteuid():  # root may write anywhere
        (tmp_path / "read-only").mkdir(mode=0o555)
        with pytest.raises(OptionError, match="output_dir"):
            trial.run(options(tmp_path / "read-only"))


def test_a_long_label_still_names_a_folder(tmp_path: Path) -> None:
    o = options(tmp_path, {"model": {"label": "é" * 300}, "dataset": {"limit": 1}, "schedule": {"epochs": 1}})
    trial.run(o)
    assert len(os.fsencode(folder_of(o).name)) < 255
    assert folder_of(o).name.endswith(trial_spec(o).identity)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "\udcff", "a\0b"])
def test_names_are_printable(name: str) -> None:
    for values in ({"name": name}, {"model": {"label": name}}, {"regularizer": {"name": name}}):
        with pytest.raises(OptionError, match="printable"):
            from_dict(merged(VIT, values))


def test_what_only_resuming_needed_goes_also_after_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    o = options(tmp_path, {"checkpoint_seconds": 0, "keep_weights": False})
    with monkeypatch.context() as crash:
        crash.setattr(checkpoint, "tidy", lambda _: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            trial.run(o)
    assert (folder_of(o) / checkpoint.PREVIOUS).exists()
    trial.run(o)
    assert not list(folder_of(o).glob("checkpoint*"))


def test_a_full_disk_is_what_a_failed_checkpoint_says(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(*_: Any, **__: Any) -> Any:
        return contextlib.nullcontext(Full())

    with pytest.MonkeyPatch.context() as context:
        context.setattr(checkpoint, "atomic_file", full)
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save(tmp_path, {"weights": torch.zeros(10)})


@pytest.mark.parametrize("state", [{"a": 1}, [1], {"state": {}, "result_": 0}, None])
def test_a_sealed_file_that_is_no_checkpoint_falls_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, state: Any
) -> None:
    through, stopped = options(tmp_path / "through"), options(tmp_path / "stopped", {"checkpoint_seconds": 0})
    trial.run(through)
    with monkeypatch.context() as crash:
        crash_at_save(crash, at=8)
        with pytest.raises(Crash):
            trial.run(stopped)
    if state is None:  # not even torch's format
        content = b"anything"
        (folder_of(stopped) / checkpoint.NAME).write_bytes(content + hashlib.sha256(content).digest())
    else:
        os.remove(folder_of(stopped) / checkpoint.PREVIOUS)
        checkpoint.save(folder_of(stopped), state)
    trial.run(stopped)
    assert "no checkpoint" in caplog.text
    step = 7 if state is None else 8  # saving moves the one before it aside
    assert f"resuming from step {step}" in (folder_of(stopped) / "log.txt").read_text()
    assert without_times(folder_of(stopped)) == without_times(folder_of(through))


@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl", "config.yaml.partial"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_takes_the_place_of_a_file_is_found_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, make: Callable[[Path], None]
) -> None:
    o = options(tmp_path)
    folder_of(o).mkdir(parents=True)
    make(folder_of(o) / name)
    monkeypatch.setattr(trial, "train", lambda *_: pytest.fail("it cannot keep a result"))
    with pytest.raises(OptionError, match=name.replace(".", r"\.")):
        trial.run(o)
