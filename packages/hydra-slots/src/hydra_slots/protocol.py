"""A trial as files in its folder: its status, progress and result; and a task that follows the protocol."""

import contextlib
import functools
import json
import os
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hydra_slots.devices import rank
from hydra_slots.lock import lock

if TYPE_CHECKING:
    from omegaconf import DictConfig


class Status(StrEnum):
    """What became of a trial, as result.json says; one that is paused has none."""

    FINISHED = "finished"
    FAILED = "failed"
    PAUSED = "paused"


DAMAGED = (OSError, ValueError, RecursionError)
"""What reading a file raises that is missing, cut short, no JSON, or nested too deeply."""


def read_result(folder: str | Path) -> dict[str, Any]:
    """The content of result.json; empty if there is none or it is damaged."""
    path = Path(folder) / "result.json"
    try:
        result = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except DAMAGED:
        return {}
    return result if isinstance(result, dict) else {}


@contextlib.contextmanager
def atomic_file(path: Path, mode: str = "w", previous: Path | None = None) -> Iterator[IO[Any]]:
    """A file that replaces `path` when the block has ended without an error: never half written.

    The old file is kept as `previous`.
    """
    partial = path.with_name(path.name + ".partial")
    with open(partial, mode, encoding=None if "b" in mode else "utf-8") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    if previous is not None and path.exists():
        os.replace(path, previous)
    os.replace(partial, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power failure, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_result(folder: str | Path, result: dict[str, Any]) -> None:
    """Write result.json atomically."""
    os.makedirs(folder, exist_ok=True)
    with atomic_file(Path(folder) / "result.json") as file:
        json.dump(result, file, indent=1)


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: numbers of other libraries become floats, other objects their text."""
    try:
        text = json.dumps(value, default=lambda v: float(v) if hasattr(v, "__float__") else str(v))
    except (TypeError, ValueError):
        return repr(value)
    return json.loads(text)


def written(folder: str | Path) -> float:
    """Time of the last write of result.json, in seconds of the epoch; 0 if there is none."""
    try:
        return os.path.getmtime(Path(folder) / "result.json")
    except OSError:
        return 0.0


def finished(folder: str | Path) -> bool:
    return read_result(folder).get("status") == Status.FINISHED


def paused(folder: str | Path, pause: float | None) -> bool:
    """Whether an unfinished trial has got as far as `pause` (`PlannedTrial.pause`)."""
    return pause is not None and (as_number(last_row(folder).get("epoch")) or 0.0) >= pause


def started(folder: str | Path) -> bool:
    return any((Path(folder) / name).exists() for name in ("checkpoint.pt", "config.yaml"))


def last_row(folder: str | Path) -> dict[str, Any]:
    """The last complete row of metrics.jsonl; empty if there is none."""
    try:
        with open(Path(folder) / "metrics.jsonl", "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            lines = file.read().rpartition(b"\n")[0].splitlines()
        row = json.loads(lines[-1]) if lines else {}
    except DAMAGED:
        return {}
    return row if isinstance(row, dict) else {}


def last_log_line(folder: str | Path) -> str:
    """The last line that this attempt at the trial has printed to log.txt; empty if there is none."""
    try:
        with open(Path(folder) / "log.txt", "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines and not lines[-1].startswith("# ") else ""


def as_number(value: Any) -> float | None:
    """A finite number from a file; None for anything else, also for integers that no float can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e300:
        return None
    return float(value)


def value_of(result: dict[str, Any]) -> Any:
    """A finished trial as a job's return value: what its task returned, or else its metrics."""
    return result.get("value", result.get("metrics"))


class Once:
    """A task that locks its folder, is skipped if finished, and leaves a result.json.

    Wraps the tasks of applications that know nothing of the protocol; the folder is Hydra's runtime output directory.
    """

    __name__: str

    def __init__(self, task: "Callable[[DictConfig], Any]") -> None:
        self.task = task
        functools.update_wrapper(self, task)  # for callbacks that look at the task

    def __call__(self, cfg: "DictConfig") -> Any:
        """What the task returns, or returned when it finished; None while another process runs it."""
        from hydra.core.hydra_config import HydraConfig

        folder = HydraConfig.get().runtime.output_dir
        if rank():  # the first process of the trial does the rest
            return None if finished(folder) else self.task(cfg)
        with lock(folder) as acquired:
            if not acquired:
                return None
            if finished(folder):
                return value_of(read_result(folder))
            start = time.monotonic()
            value = self.task(cfg)
            if not finished(folder):
                result = {"status": Status.FINISHED, "value": plain(value), "seconds": time.monotonic() - start}
                write_result(folder, result)
            return value
