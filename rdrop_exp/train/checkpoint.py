"""Atomic save and exact restore of a trial's state.

A file is torch's own format followed by the SHA-256 of what precedes it: `torch.load` reads it as it is, and damage
that torch would not notice is detected here. The previous file is kept, in case the latest one is damaged.
"""

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import torch

from rdrop_exp.runs.folder import atomic_file

log = logging.getLogger(__name__)

NAME, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"
PARTS = {"model", "optimizer", "scaler", "state", "best", "history"}
"""What resuming needs; a trial that has ended leaves its `result` instead."""
_DIGEST = hashlib.sha256().digest_size


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain values) so that a crash at any moment leaves a whole checkpoint behind."""
    write(folder / NAME, state, previous=folder / PREVIOUS)


def write(path: Path, state: dict[str, Any], previous: Path | None = None) -> None:
    """As `save`, to any path; what was there is kept as `previous`."""
    with atomic_file(path, "wb+", previous=previous) as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # torch's writer hides why a write failed, such as a full disk
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]
        file.seek(0, os.SEEK_END)
        file.write(digest)


def load(folder: Path, device: torch.device, identity: str = "") -> dict[str, Any] | None:
    """The newest checkpoint that is whole and, where `identity` is given, this trial's; None where there is none."""
    for name in (NAME, PREVIOUS):
        path = folder / name
        if path.is_file() and (state := read(path, device, identity)) is not None:
            return state
    return None


def read(path: Path, device: torch.device, identity: str = "") -> dict[str, Any] | None:
    """One file's state; None, and a warning, where it is damaged, no checkpoint or another trial's."""
    if not _whole(path):
        log.warning("%s is damaged and is ignored", path)
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # whatever torch raises on a file that it did not write
        log.warning("%s is no checkpoint and is ignored (%s)", path, type(error).__name__)
        return None
    if identity and (why := _foreign(state, identity)):
        log.warning("%s %s and is ignored", path, why)
        return None
    return dict(state)


def _foreign(state: Any, identity: str) -> str:
    """Why this cannot be a checkpoint of the trial; empty where it can. Those of earlier versions have no identity."""
    if not isinstance(state, dict) or not ("result" in state or state.keys() >= PARTS):
        return "is no checkpoint of a trial"
    if state.get("identity", identity) != identity:
        return f"belongs to another trial ({state['identity']})"
    return ""


def finish(folder: Path, state: dict[str, Any]) -> None:
    """Leave an ended trial's weights and outcome as its checkpoint, and nothing of what resuming needed."""
    save(folder, state)
    tidy(folder)


def tidy(folder: Path) -> None:
    """Remove what only resuming needed."""
    for name in (PREVIOUS, "checkpoint.partial"):  # the latter of earlier versions
        (folder / name).unlink(missing_ok=True)


def remove_outcome(folder: Path) -> None:
    """Remove a checkpoint that holds an outcome without weights, which result.json has replaced."""
    saved = load(folder, torch.device("cpu"))
    if saved is not None and "result" in saved and "model" not in saved:
        (folder / NAME).unlink()


def _whole(path: Path) -> bool:
    size = path.stat().st_size - _DIGEST
    if size <= 0:
        return False
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, 1 << 20))):
            sha.update(block)
            size -= len(block)
        return file.read() == sha.digest()
