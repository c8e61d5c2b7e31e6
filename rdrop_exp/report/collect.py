"""Find trials under folders and read what each says of itself: finished, failed, running, stopped or damaged."""

import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.schema import OptionError
from rdrop_exp.runs.folder import last_row, read_start

STATUSES = ("finished", "running", "stopped", "failed", "damaged", "empty")
"""In the order in which one of two copies of a trial is preferred."""
QUIET_SECONDS = 300.0
"""A trial that has written nothing for this long, or for five checkpoints' time, has stopped."""

_SIGNS = {"config.yaml", "metrics.jsonl", "result.json"}
_WRITTEN = _SIGNS | {"checkpoint.pt", "log.txt"}
_TRIAL_NAME = re.compile(r"-[0-9a-f]{10}$")
_GROUPS = ("model", "peer", "dataset", "regularizer", "schedule", "optimizer", "logger")


@dataclass(kw_only=True, slots=True)
class Trial:
    """One trial folder. `metrics` are the numbers of its result, accuracies as shares of one; `options` are nested."""

    folder: Path
    status: str
    identity: str = ""
    group: str = ""
    experiment: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    error: str = ""
    progress: float | None = None
    best_epoch: float | None = None
    steps: int | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    command: str = ""
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    written: float = 0.0

    @property
    def seed(self) -> int:
        seed = self.options.get("seed", 0)
        return seed if isinstance(seed, int) else 0


def collect(folders: Iterable[Path], known: dict[str, tuple[int, Trial]] | None = None) -> tuple[list[Trial], int]:
    """Every trial under the folders, once each, by name; and how many further copies of them were found.

    `known` keeps finished trials between calls. A folder that is not there, or no trial at all, raises `OptionError`.
    """
    folders = [Path(folder) for folder in folders]
    for folder in folders:
        if not folder.is_dir():
            raise OptionError(f"{folder} is not a folder")
    trials = [_trial(path, files, known) for root in folders for path, files in _trial_folders(str(root))]
    if not trials:
        raise OptionError(f"there is no trial in {', '.join(map(str, folders))}: a trial has a config.yaml")
    chosen: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda t: (STATUSES.index(t.status), -t.written)):
        chosen.setdefault(trial.identity or str(trial.folder.resolve()), trial)
    return sorted(chosen.values(), key=lambda t: (t.folder.name, str(t.folder))), len(trials) - len(chosen)


def _trial_folders(root: str) -> Iterator[tuple[str, dict[str, os.DirEntry[str]]]]:
    """Trial folders at or under `root` with their files; not in hidden folders nor W&B's; links are followed once."""
    seen: set[str] = set()
    stack = [root]
    while stack:
        path = stack.pop()
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(path) as found:
                entries = {entry.name: entry for entry in found}
        except OSError:
            entries = {}
        inside = [e.path for name, e in entries.items() if name[0] != "." and name != "wandb" and e.is_dir()]
        if entries.keys() & _SIGNS or (not inside and _TRIAL_NAME.search(os.path.basename(path))):
            yield path, entries
        else:
            stack += inside


def _trial(path: str, files: dict[str, os.DirEntry[str]], known: dict[str, tuple[int, Trial]] | None) -> Trial:
    if "result.json" in files:
        stamp = files["result.json"].stat()
        if known is not None and path in known and known[path][0] == stamp.st_mtime_ns:
            return known[path][1]
        trial = _from_result(path, stamp.st_mtime)
        if known is not None:
            known[path] = (stamp.st_mtime_ns, trial)
        return trial
    if "config.yaml" in files:
        return _unfinished(path, files)
    if "metrics.jsonl" in files:
        return Trial(folder=Path(path), status="damaged", error="there is neither a config.yaml nor a result.json")
    return Trial(folder=Path(path), status="empty", error="there is nothing in it: the trial never began")


def _from_result(path: str, written: float) -> Trial:
    def damaged(reason: str) -> Trial:
        return Trial(folder=Path(path), status="damaged", error=f"result.json {reason}", written=written)

    try:
        with open(os.path.join(path, "result.json"), "rb") as file:
            result = json.loads(file.read())
    except (OSError, ValueError) as error:
        return damaged(f"cannot be read: {str(error).splitlines()[0]}")
    if not isinstance(result, dict) or result.get("status") not in ("finished", "failed"):
        return damaged("says neither finished nor failed")
    options, metrics = result.get("options"), result.get("metrics") or {}
    if not isinstance(options, dict) or not isinstance(metrics, dict):
        return damaged("has no options")
    if wrong := [name for name in _GROUPS if not isinstance(options.get(name, {}), dict)]:
        return damaged(f"has options that are no group: {wrong[0]}")
    versions = result.get("versions")
    try:
        group = str(result.get("group") or "") or trial_spec(from_dict(options)).group
    except ValueError as error:
        return damaged(f"names no group, and its options give none: {_one_line(error)}")
    return Trial(
        folder=Path(path),
        status=result["status"],
        identity=str(result.get("identity") or ""),
        group=group,
        experiment=str(result.get("experiment") or os.path.basename(os.path.dirname(path))),
        options=options,
        metrics={name: float(value) for name, value in metrics.items() if isinstance(value, int | float)},
        error=_one_line(result.get("error")) or ("no reason was given" if result["status"] == "failed" else ""),
        progress=1.0 if result["status"] == "finished" else None,
        best_epoch=_number(result.get("best_epoch")),
        steps=result.get("steps") if isinstance(result.get("steps"), int) else None,
        seconds=_number(result.get("seconds")),
        images_per_second=_number(result.get("images_per_second")),
        command=str(result.get("command") or ""),
        device=str(result.get("device") or ""),
        versions={str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {},
        written=written,
    )


def _unfinished(path: str, files: dict[str, os.DirEntry[str]]) -> Trial:
    """A trial with a config.yaml and no result: running or stopped."""
    trial = Trial(folder=Path(path), status="stopped", experiment=os.path.basename(os.path.dirname(path)))
    trial.written = max(files[name].stat().st_mtime for name in _WRITTEN & files.keys())
    try:
        about = read_start(path)
    except OptionError as error:
        trial.error = f"its config.yaml is of another version, so it is in no group: {error}"
        about = {}
    except (OSError, ValueError) as error:
        trial.status, trial.error = "damaged", f"its options cannot be read: {_one_line(error)}"
        return trial
    trial.identity, trial.group = str(about.get("identity") or ""), str(about.get("group") or "")
    options = about.get("options")
    trial.options = options if isinstance(options, dict) else {}
    if not trial.identity and (match := _TRIAL_NAME.search(os.path.basename(path))):
        trial.identity = match[0][1:]
    trial.progress = _number(last_row(path).get("progress"))
    quiet = max(QUIET_SECONDS, 5 * float(trial.options.get("checkpoint_seconds") or 0))
    locked = _is_locked(path) if "claim" in files else None
    running = time.time() - trial.written < quiet if locked is None else locked
    trial.status = "running" if running else "stopped"
    return trial


def _is_locked(folder: str) -> bool | None:
    """Whether some process runs the trial; None where this machine cannot look."""
    try:
        from rdrop_exp.launch.lock import is_locked

        return is_locked(folder)
    except (ImportError, OSError):  # a system without such locks, a folder that may only be read
        return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _one_line(text: Any) -> str:
    return " ".join(str(text).split()) if text else ""
