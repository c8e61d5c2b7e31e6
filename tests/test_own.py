"""Configs, sweeps and plugins of one's own, from outside a checkout."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.config import plugins, registry
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.schema import OptionError
from rdrop_exp.config.starter import STARTER
from rdrop_exp.runs.folder import read_items
from rdrop_exp.tasks.choose import task_of
from rdrop_exp.train import trial
from rdrop_exp.train.refusals import question, refusal
from tests.conftest import SMALL, Command, folder_of, merged


def test_the_starter_runs_as_written(command: Command, tmp_path: Path) -> None:
    assert command("init", ".").returncode == 0
    done = command("experiment=mine", "schedule.epochs=1")
    assert done.returncode == 0, done.stderr
    assert "mine-resnet_micro_8-mine-p0.1-cutoff0.5-a0.5-s0" in done.stdout
    done = command("sweep=mine", "schedule.epochs=1", "seed=0", "hydra.launcher.slots=1")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("outputs/mine/*/result.json"))) == 3
    tests = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, text=True)
    assert tests.returncode == 0, tests.stdout
    again = command("init", ".")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)


def test_a_task_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(STARTER))
    monkeypatch.setattr(plugins, "_modules", {})
    values = {"plugins": ["my_task"], "dataset": {"name": "brightness"}, "regularizer": {"dropout": 0.1, "alpha": 0.5}}
    o = from_dict(merged(SMALL, {"output_dir": str(tmp_path)}, values))
    assert refusal(json.loads(question(o, task_of(o).preview(o.dataset)))) == ""
    result = trial.run(o)
    assert result is not None
    assert (result["metric"]["name"], result["metric"]["higher_is_better"]) == ("mae", False)
    assert 0 < result["metrics"]["test/mae"] < 1
    assert len(read_items(folder_of(o))["test"]) == 80


@pytest.mark.parametrize(
    ("table", "name", "words"),
    [(registry.TASKS, "digits", "package's"), (registry.DATA_SETS, "cola", "package's"), (registry.TASKS, "x", "int")],
)
def test_names_that_are_taken_and_tasks_that_are_none(
    monkeypatch: pytest.MonkeyPatch, table: Any, name: str, words: str
) -> None:
    monkeypatch.setitem(table, name, lambda o: 3)
    with pytest.raises(OptionError, match=words) as error:
        task_of(from_dict({"dataset": {"name": name}}))
    assert f"dataset.name={name}" in str(error.value)


def test_own_files_come_before_the_package(command: Command, tmp_path: Path) -> None:
    (tmp_path / "conf/regularizer").mkdir(parents=True)
    (tmp_path / "conf/regularizer/rdrop.yaml").write_text("dropout: 0.3\nalpha: 2\n")
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/own.yaml").write_text("title: Own\ngrids: [{overrides: {regularizer: rdrop}}]\n")
    done = command("sweep=own", "hydra.launcher.dry_run=true")
    assert "rdrop-p0.3-a2" in done.stdout, done.stderr
    assert "your own conf/regularizer/rdrop.yaml" in done.stdout
    assert command("sweep=").stdout.splitlines()[0].split() == ["own", "Own"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nowhere_at_all", "needs the module nowhere_at_all"),
        ("1 / 0", "ZeroDivisionError: division by zero (line 1)"),
        (
            "from rdrop_exp.config.schedules import RATE_SCHEDULES\nRATE_SCHEDULES['early'] = lambda *_: 1.0",
            "regularizer.when=early is taken",
        ),
    ],
)
def test_a_plugin_that_cannot_be_loaded(command: Command, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    done = command("plugins=[bad]")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert words in done.stderr
