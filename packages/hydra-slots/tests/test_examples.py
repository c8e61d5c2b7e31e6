"""The example runs as its docstring and the README say, and the README's tables are those of options.py."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from hydra_slots.options import SlotsConf, SlurmConf, UnionConf
from hydra_slots.reference import table
from tests.conftest import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
QUICK = ["pause=0", "steps=100", "hydra.launcher.stagger=0"]


def test_the_example_runs_and_is_not_run_again(tmp_path):
    folder = tmp_path / "examples"
    shutil.copytree(ROOT / "examples", folder, ignore=shutil.ignore_patterns("outputs", "__pycache__"))

    def run(words):
        command = [sys.executable, "descent.py", *shlex.split(words), *QUICK]
        return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout

    plan = run("-m hydra.sweeper.sweep=rates hydra.launcher.dry_run=true")
    assert plan.startswith(
        "rates: Does momentum need a smaller learning rate?\n15 trials (5 groups × 3 seeds): 15 to run"
    )
    assert "[3/3] finished" in run("-m optimizer=sgd,momentum,adagrad")
    assert "1 finished, 9 to run" in run("-m hydra.sweeper.sweep=rates seed=0,1")
    assert ": all finished" in run("-m optimizer=sgd,momentum,adagrad")
    results = [json.loads(path.read_text()) for path in folder.glob("outputs/*/result.json")]
    assert all(0 <= result["value"] < 10 for result in results)
    assert len(list(folder.glob("outputs/*/checkpoint.pt"))) == len(results) == 12
    pairs = "-m optimizer.lr=0.1,0.01 clip=1,2 hydra.sweeper.together=optimizer.lr+clip hydra.launcher.dry_run=true"
    assert "2 trials: 2 to run" in run(pairs)


@pytest.mark.parametrize("options", [SlotsConf, SlurmConf, UnionConf])
def test_the_readme_has_every_option(options):
    assert table(options) in (ROOT / "README.md").read_text(), "update it from `python -m hydra_slots.reference`"
