"""Read one trial folder: identity, options, status, progress and results."""

import contextlib
import os
import re
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.schema import OptionError
from rdrop_exp.report.text import one_line, printable, web_address
from rdrop_exp.report.throughput import steady_throughput
from rdrop_exp.runs.code import recorded
from rdrop_exp.runs.folder import last_row, load_result, paused, read_start

QUIET_SECONDS = 300.0
"""A trial counts as stopped after this time, or five checkpoint intervals, without a write."""

SIGNS = {"config.yaml", "metrics.jsonl", "result.json"}
_WRITTEN = SIGNS | {"checkpoint.pt", "log.txt"}
_READ = ("result.json", "trial.json", "config.yaml", "metrics.jsonl")
TRIAL_NAME = re.compile(r"-[0-9a-f]{10}$")
_GROUPS = ("model", "peer", "dataset", "regularizer", "schedule", "optimizer", "logger")


Key = tuple[int, int]
"""What two trials must share to be paired: `seed` and `dataset.split_seed`."""


class Status(StrEnum):
    """In order of preference between copies of a trial."""

    FINISHED = "finished"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FAILED = "failed"
    DAMAGED = "damaged"
    EMPTY = "empty"


@dataclass(kw_only=True, slots=True)
class Trial:
    """One trial folder. `metrics` are the numbers of its result, accuracies as shares of one; `options` are nested."""

    folder: Path
    status: Status
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
    training_seconds: float | None = None
    """Time of all steps at the steady throughput, without warm-up and validation."""
    metric: str = ""
    """What its task is compared by; empty: not said."""
    higher_is_better: bool = True
    speed: float | None = None
    """Images or tokens per second: the steady throughput; without rows in metrics.jsonl, the mean over all steps."""
    unit: str = "images"
    """What `speed` counts: images or tokens."""
    command: str = ""
    wandb: str = ""
    """Address of its W&B run."""
    data: str = ""
    """Fingerprint of files of one's own; empty for published data sets."""
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    """Which code made it (`runs.code`); empty: unknown."""
    written: float = 0.0

    @property
    def seed(self) -> int:
        return _whole(self.options.get("seed"))

    @property
    def key(self) -> Key:
        return self.seed, _whole((self.options.get("dataset") or {}).get("split_seed"))


def fingerprint_of(about: dict[str, Any]) -> str:
    """The fingerprint of the user's own data in a trial.json or result.json."""
    data = about.get("data")
    return (
        printable(str(data.get("fingerprint") or "")) if about.get("data_identity") and isinstance(data, dict) else ""
    )


def read_trial(path: str, files: dict[str, os.DirEntry[str]], known: dict[str, tuple[int, Trial]] | None) -> Trial:
    """The trial of a folder with these files; `known` keeps finished ones between calls."""
    if odd := [name for name in _READ if name in files and not files[name].is_file()]:
        return Trial(folder=Path(path), status=Status.DAMAGED, error=f"{odd[0]} is not a regular file")
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
        return Trial(folder=Path(path), status=Status.DAMAGED, error="neither config.yaml nor result.json exists")
    return Trial(folder=Path(path), status=Status.EMPTY, error="the folder is empty: the trial never started")


def _from_result(path: str, written: float) -> Trial:
    try:
        result = load_result(path)
        if result.get("status") not in (Status.FINISHED, Status.FAILED):
            raise ValueError("neither finished nor failed")
        return _described(path, written, result)
    except (OSError, ValueError, OverflowError) as error:
        reason = f"result.json: {one_line(error)}"
        return Trial(folder=Path(path), status=Status.DAMAGED, error=reason, written=written)


def _described(path: str, written: float, result: dict[str, Any]) -> Trial:
    """The trial of a result; ValueError or OverflowError if it cannot be compared."""
    status = Status(result["status"])
    if status == Status.FAILED and "options" not in result:
        return _failed_early(path, written, result)
    options, metrics = _checked_options(result), result.get("metrics") or {}
    if not isinstance(metrics, dict):
        raise ValueError("metrics are no dictionary")
    versions = result.get("versions")
    unit = "tokens" if "tokens_per_second" in result else "images"
    speed = steady_throughput(path, unit) if status == Status.FINISHED else None
    metric, higher_is_better = metric_of(result)
    trial = Trial(
        folder=Path(path),
        status=status,
        identity=printable(str(result.get("identity") or "")),
        group=printable(str(result.get("group") or "")) or trial_spec(from_dict(options)).group,
        experiment=printable(str(result.get("experiment") or os.path.basename(os.path.dirname(path)))),
        options=options,
        metrics={printable(name): float(value) for name, value in metrics.items() if isinstance(value, int | float)},
        error=one_line(result.get("error")) or ("no reason given" if status == Status.FAILED else ""),
        progress=1.0 if status == Status.FINISHED else None,
        best_epoch=_number(result.get("best_epoch")),
        steps=result.get("steps") if isinstance(result.get("steps"), int) else None,
        seconds=_number(result.get("seconds")),
        metric=metric,
        higher_is_better=higher_is_better,
        unit=unit,
        speed=speed or _number(result.get(f"{unit}_per_second")),
        command=one_line(result.get("command")),
        wandb=web_address(result.get("wandb")),
        data=fingerprint_of(result),
        device=one_line(result.get("device")),
        versions={one_line(k): one_line(v) for k, v in versions.items()} if isinstance(versions, dict) else {},
        code=recorded(result),
        written=written,
    )
    batch = _number(result.get("tokens_per_step") or (options.get("optimizer") or {}).get("batch_size"))
    if trial.speed and batch and trial.steps:
        trial.training_seconds = trial.steps * batch / trial.speed
    return trial


def _failed_early(path: str, written: float, result: dict[str, Any]) -> Trial:
    """A failure recorded by the runner: the options are in trial.json or config.yaml, if the trial got that far."""
    reason = one_line(result.get("error")) or "no reason given"
    trial = Trial(folder=Path(path), status=Status.FAILED, error=reason, written=written)
    trial.experiment = printable(os.path.basename(os.path.dirname(path)))
    with contextlib.suppress(OSError, ValueError):
        _start(trial)
    trial.identity = printable(str(result.get("identity") or "")) or trial.identity
    return trial


def metric_of(about: dict[str, Any]) -> tuple[str, bool]:
    """Name and direction of the metric in a trial.json or result.json; no name in those of earlier versions."""
    metric = about.get("metric")
    if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
        return "", True
    return printable(metric["name"]), metric.get("higher_is_better") is not False


def _checked_options(result: dict[str, Any]) -> dict[str, Any]:
    """The options of a result or a trial.json; ValueError if they are malformed."""
    options = result.get("options")
    if not isinstance(options, dict):
        raise ValueError("no options")
    if wrong := [name for name in _GROUPS if not isinstance(options.get(name, {}), dict)]:
        raise ValueError(f"{wrong[0]} is not a group of options")
    return options


def _unfinished(path: str, files: dict[str, os.DirEntry[str]]) -> Trial:
    """A trial with a config.yaml and no result: running, paused or stopped."""
    trial = Trial(
        folder=Path(path), status=Status.STOPPED, experiment=printable(os.path.basename(os.path.dirname(path)))
    )
    trial.written = max(files[name].stat().st_mtime for name in _WRITTEN & files.keys())
    try:
        _start(trial)
    except OptionError as error:
        trial.error = f"not compared: its config.yaml was written by another version ({one_line(error)})"
    except (OSError, ValueError) as error:
        trial.status, trial.error = Status.DAMAGED, f"its options cannot be read: {one_line(error)}"
        return trial
    trial.progress = _number(last_row(path).get("progress"))
    quiet = max(QUIET_SECONDS, 5 * float(_number(trial.options.get("checkpoint_seconds")) or 0))
    locked = _is_locked(path) if "claim" in files else None
    running = time.time() - trial.written < quiet if locked is None else locked
    pausing = paused(path, _number(trial.options.get("pause_epoch")))
    trial.status = Status.PAUSED if pausing and locked is not True else Status.RUNNING if running else Status.STOPPED
    return trial


def _start(trial: Trial) -> None:
    """Set identity, group and options from trial.json, or else config.yaml."""
    if match := TRIAL_NAME.search(trial.folder.name):
        trial.identity = match[0][1:]
    about = read_start(trial.folder)
    trial.options = _checked_options(about)
    trial.identity = printable(str(about.get("identity") or "")) or trial.identity
    trial.data = fingerprint_of(about)
    trial.group = printable(str(about.get("group") or ""))
    trial.code = recorded(about)
    trial.metric, trial.higher_is_better = metric_of(about)


def _is_locked(folder: str) -> bool | None:
    """Whether a process holds the trial's lock; None if this machine cannot tell."""
    try:
        from hydra_slots.lock import is_locked

        return is_locked(folder)
    except (ImportError, OSError):  # no locks on this system, or a read-only folder
        return None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
