"""What a trial leaves for those that are the same up to some step, and how it starts from what another one left.

`hydra_slots.tree` says which forks are wanted. A fork file is a checkpoint with the rows of metrics that belong to it
and all that must agree for the branch to end, to the last bit, as it would alone.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hydra_slots.tree import FOLDER, WANTED, key_at
from rdrop_exp.config.identity import TrialSpec
from rdrop_exp.config.schedules import rate_scale
from rdrop_exp.config.segments import segments
from rdrop_exp.runs import code
from rdrop_exp.runs.folder import finished
from rdrop_exp.runs.parse import read_json
from rdrop_exp.train import checkpoint
from rdrop_exp.train.setup import Setup
from rdrop_exp.train.tracking import Tracker


class Forks:
    """The forks on one trial's way."""

    def __init__(self, spec: TrialSpec, folder: Path, setup: Setup, about: dict[str, Any]) -> None:
        """Before training has changed the network: two trials must have begun with the same weights."""
        self.spec, self.folder, self.setup = spec, folder, setup
        self.files: dict[int, Path] = {}
        """By step, in order."""
        self.users: dict[int, list[Path]] = {}
        """By step: the folders of the other trials that want it."""
        place, per_epoch = folder.parent / FOLDER, setup.data.steps_per_epoch
        try:
            wanted = read_json(place / WANTED) if setup.world.size == 1 else {}  # of several ranks, each has its state
        except (OSError, ValueError):
            wanted = {}
        pause = spec.options.pause_epoch
        end = setup.total_steps if pause is None else min(pause * per_epoch, setup.total_steps)
        runs = segments(spec.options, per_epoch, setup.total_steps, spec.fingerprint) if wanted else []
        for name, users in sorted(wanted.items(), key=lambda item: _step(item[0])) if runs else ():
            step = _step(name)
            if 0 < step < end and name == f"{step}-{key_at(runs, step)}.pt":
                self.files[step] = place / name
                self.users[step] = [folder.parent / user for user in users if user != folder.name]
        self.same = _must_agree(setup, about) if self.files else {}

    def start(self, tracker: Tracker) -> dict[str, Any] | None:
        """The state at the latest fork that another trial has left, its rows written as this trial's; None: none."""
        for step, path in reversed(self.files.items()):
            saved = checkpoint.read(path, self.setup.device) if path.is_file() else None
            if saved is None or saved.pop("same", None) != self.same:
                continue
            state = saved["state"]
            state["shared_seconds"] = state["seconds"]
            state["rows"] = 0
            for row in map(json.loads, saved.pop("rows").splitlines()):
                state["rows"] = tracker.row(self._own(row))
            tracker.message(f"{self.folder.name}: from step {step}, as {saved.pop('of')} had trained the same so far")
            return saved
        return None

    def _own(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with the rates that this trial has; until the fork they are 0 or the same."""
        setup, own = self.setup, dict[str, Any]()
        scale = rate_scale(setup.options.regularizer, row["step"] - 1, setup.data.steps_per_epoch, setup.total_steps)
        for name, value in row.items():
            if name == "lr":
                own |= setup.noise.rates(scale)
            if not name.startswith("rate/"):
                own[name] = value
        return own

    def leave(self, step: int, state_dict: Callable[[], dict[str, Any]]) -> str:
        """Save the state for the trials that want it; a sentence where that fails."""
        path = self.files.get(step)
        if path is None or path.exists() or all(finished(user) for user in self.users[step]):
            return ""
        saved = state_dict() | {"same": self.same, "of": self.folder.name}
        try:
            with open(self.folder / "metrics.jsonl", "rb") as file:
                saved["rows"] = file.read(saved["state"]["rows"]).decode()
            partial = path.with_name(f"{path.name}.{os.getpid()}")
            checkpoint.write(partial, saved)
            os.replace(partial, path)
        except OSError as error:
            return f"Warning: the trials that share steps with this one train them again ({path}: {error.strerror})"
        return ""

    def tidy(self) -> None:
        """Remove what no trial waits for, once this one has finished."""
        for step, path in self.files.items():
            if all(finished(user) for user in self.users[step]):
                path.unlink(missing_ok=True)


def _step(name: str) -> int:
    number = name.partition("-")[0]
    return int(number) if number.isdecimal() else 0


def _must_agree(setup: Setup, about: dict[str, Any]) -> dict[str, Any]:
    """Everything beside the options on which the bits of a state depend."""
    made_by = [code.key(about["code"]), *about["code"].get("earlier", [])]
    return {
        "code": made_by,
        "data": about["data"]["fingerprint"],
        "device": about["device"],
        "threads": torch.get_num_threads(),
        "versions": about["versions"],
        "weights": _digest(setup.network),
    }


def _digest(network: nn.Module) -> str:
    sha = hashlib.sha256()
    for name, value in network.state_dict().items():
        sha.update(name.encode())
        sha.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
