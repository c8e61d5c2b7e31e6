"""Shared by all tests: no network, no account, one thread, and small options that train in seconds."""

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.runs.folder import trial_folder
from tests.warm import ROOT as ROOT
from tests.warm import Warm

os.environ.update(OMP_NUM_THREADS="1", WANDB_SILENT="true", HF_HUB_OFFLINE="1")
for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
    os.environ.pop(name, None)
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())  # one cache for all workers of a run
os.environ["XDG_CACHE_HOME"] = os.path.join(tempfile.gettempdir(), f"rdrop-exp-cache-{RUN}")
os.environ["NETRC"] = os.devnull  # a key on this machine must not put a test online

SMALL: dict[str, Any] = {
    "model": {"label": "resnet", "name": "resnet18", "args": {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}},
    "schedule": {"epochs": 2},
    "optimizer": {"lr": 3e-3},
    "logger": {"wandb": "disabled", "progress": False},
}
VIT: dict[str, Any] = SMALL | {
    "model": {
        "label": "vit",
        "name": "vit_tiny_patch16_224",
        "args": {"patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2},
    }
}


def merged(base: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, later ones over earlier ones; `args` belong to one model and are replaced whole."""
    result = dict(base)
    for other in others:
        for key, value in other.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict) and key != "args"
            result[key] = merged(result[key], value) if both else value
    return result


def folder_of(o: Options) -> Path:
    """Where the trial with these options keeps everything."""
    return trial_folder(trial_spec(o))


class Crash(BaseException):
    """Not caught by anything, as a SIGKILL is not."""


def crash_at_save(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Crash right after that many checkpoints."""
    from rdrop_exp.train import checkpoint

    original, saves = checkpoint.save, 0

    def save(folder: Path, state: dict[str, Any]) -> None:
        nonlocal saves
        original(folder, state)
        saves += 1
        if saves == at:
            raise Crash

    monkeypatch.setattr(checkpoint, "save", save)


@pytest.fixture(scope="module")
def hydra_config() -> Iterator[None]:
    """`hydra.compose("train", overrides)` works in the module, as in the command."""
    from rdrop_exp.cli import hydra_ready

    with hydra_ready():
        yield


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """A process that runs functions in forks of itself."""
    with Warm() as started:
        yield started


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(warm: Warm, tmp_path: Path) -> Command:
    """Run `rdrop-exp ARGUMENTS` as a user would, in a folder of its own."""
    return functools.partial(warm.run, tmp_path, "tests.warm:command")


@pytest.fixture
def process(tmp_path: Path) -> Command:
    """The same in a fresh process, which takes seconds to import torch."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "rdrop_exp", *arguments]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=240)

    return run
