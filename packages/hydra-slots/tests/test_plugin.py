"""The plugins as Hydra finds them: cheap to import, with or without `register()`, also after a reset of singletons."""

import inspect
import os
import subprocess
import sys

import pytest

from hydra_slots.protocol import Once
from tests.conftest import ROOT
from tests.foreign import App

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
    (tmp_path / "plain.py").write_text(SCANNED)
    words = ["-m", "x=1,2", "hydra.launcher.dry_run=true"]
    done = python("plain.py", *words, cwd=tmp_path, path=[ROOT / "src"])
    assert "2 trials" in done.stdout
    done = python(f"{app.name}.py", *words, cwd=tmp_path, path=[ROOT / "src"])  # which registers defaults as well
    assert "2 trials" in done.stdout


def test_the_application_decides_the_defaults_of_options(tmp_path):
    sweeper = {"folder": "mine", "name_key": "x"}
    body = "return [cfg.x, HydraConfig.get().sweeper.folder]"  # in the worker as well
    app = App(tmp_path, body, launcher={"slots": 3, "columns": {"loss": "train/loss"}}, sweeper=sweeper)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "demo.yaml").write_text("title: Mine")
    words = ["-m", "hydra.sweeper.sweep=demo", "seed=1,2"]
    path = [ROOT / "src"]
    done = python(f"{app.name}.py", *words, "hydra.launcher.dry_run=true", cwd=tmp_path, path=path)
    assert done.stdout.startswith("demo: Mine\n2 trials")
    assert "on 3 workers" in done.stdout
    shown = python(f"{app.name}.py", "--cfg", "hydra", "-p", "hydra.launcher.columns", cwd=tmp_path, path=path)
    assert "loss: train/loss" in shown.stdout
    for launcher in ("slots", "basic", "joblib"):
        words += [f"hydra/launcher={launcher}", f"hydra.sweep.dir={launcher}"]
        assert python(f"{app.name}.py", *words, cwd=tmp_path, path=path).stdout.startswith("demo: Mine\n2 trials")
        assert app.values(launcher) == [["demo", "mine"]] * 2


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sweep=de", ["sweep=deep", "sweep=demo"]),
        ("sweep=claims/", ["sweep=claims/alpha"]),
        ("sweep=deep scale=", ["scale=cpu", "scale=gpu"]),
        ("seed=1 sweep=deep scale=g", ["scale=gpu"]),
        ("sweep=demo scale=", []),
        ("sweep=broken scale=", []),
        ("scale=", []),
    ],
)
def test_tab_completion_knows_the_named_sweeps_and_their_scales(tmp_path, monkeypatch, line, offered):
    app = App(tmp_path, "return 1")
    (tmp_path / "sweeps" / "claims").mkdir()
    for name in ("demo", "other", "claims/alpha"):
        app.sweep(name, "title: T")
    app.sweep("deep", "scales: {cpu: {}, gpu: {}}")
    app.sweep("broken", "scales: [")
    monkeypatch.setenv("COMP_LINE", f"python {app.name}.py -m {line}")
    done = python(f"{app.name}.py", "-sc", "query=bash", cwd=tmp_path, path=[ROOT / "src"])
    assert done.stdout.split() == offered
    assert not done.stderr


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import hydra_slots; hydra_slots.register()", set()),
        (
            "from hydra_slots import display, launcher, pool, process, runner, sweeper, worker",
            {"rich"},
        ),
    ],
)
def test_nothing_of_training_and_nothing_heavy_is_imported(statement, allowed):
    code = f"import sys; {statement}; print(*sys.modules)"
    found = set(python("-c", code, cwd=ROOT, path=[ROOT / "src"]).stdout.split())
    heavy = {"torch", "timm", "numpy", "wandb", "rich", "cloudpickle", "joblib", "pandas"} - allowed
    assert not heavy & found
    assert "rdrop_exp" not in found


def test_options_and_defaults_outlast_hydras_singletons():
    """Notebooks and tests reset them."""
    code = """
import hydra_slots
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
hydra_slots.register(launcher={"slots": 3})
Singleton._instances.clear()
Plugins.instance()
print(ConfigStore.instance().load("hydra/launcher/slots.yaml").node.slots)
"""
    assert python("-c", code, cwd=ROOT, path=[ROOT / "src"]).stdout == "3\n"


def test_callbacks_can_look_at_the_task():
    """Hydra hands them the wrapped one."""

    def task(cfg):
        """The task's text."""

    wrapped = Once(task)
    assert inspect.unwrap(wrapped) is task
    assert (wrapped.__module__, wrapped.__name__, wrapped.__doc__) == (__name__, "task", "The task's text.")
