"""The plugins as Hydra finds them: cheap to import, free of training, with or without `register()`."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.launch.foreign import App

SCANNED = """
import hydra, sys
@hydra.main(config_path="conf", config_name="config", **({} if hydra.__version__ >= "1.4" else {"version_base": None}))
def main(cfg):
    return cfg.x
main()
"""


def python(*arguments, cwd, path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )


def test_an_installed_package_is_found_by_hydras_scan(tmp_path):
    app = App(tmp_path, "return 1")
    scanned = tmp_path / "site" / "hydra_plugins"
    scanned.mkdir(parents=True)
    shutil.copy(ROOT / "rdrop_exp" / "launch" / "plugin.py", scanned / "rdrop_exp_launch.py")
    (tmp_path / "plain.py").write_text(SCANNED)
    words = ["-m", "x=1,2", "hydra.launcher.dry_run=true"]
    done = python("plain.py", *words, cwd=tmp_path, path=[tmp_path / "site", ROOT])
    assert "2 trials" in done.stdout
    done = python(f"{app.name}.py", *words, cwd=tmp_path, path=[tmp_path / "site", ROOT])  # which registers as well
    assert "2 trials" in done.stdout


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("from rdrop_exp import launch; launch.register()", set()),
        (
            "from rdrop_exp.launch import display, launcher, pool, process, runner, sweeper, worker",
            {"rich"},
        ),
    ],
)
def test_nothing_of_training_and_nothing_heavy_is_imported(statement, allowed):
    code = f"import sys; {statement}; print(*sys.modules)"
    found = set(python("-c", code, cwd=ROOT, path=[ROOT]).stdout.split())
    heavy = {"torch", "timm", "numpy", "wandb", "rich", "cloudpickle", "joblib", "pandas"} - allowed
    assert not heavy & found
    assert not {name for name in found if name.startswith("rdrop_exp.") and not name.startswith("rdrop_exp.launch")}
