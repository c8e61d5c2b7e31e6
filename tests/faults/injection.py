"""Faults at the system calls with which a process changes a folder: each is counted, and one or more can fail.

Files are opened through a raw file of our own, so what is counted is what reaches the operating system: a buffer that
is flushed when a file is closed is a `write` like any other, and what was still in a buffer is lost with the process.
"""

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any


class Fault(StrEnum):
    """What happens at the chosen operation."""

    KILL = "kill"
    """SIGKILL just before it."""
    TORN = "torn"
    """SIGKILL after half of the bytes of a write."""
    ERROR = "error"
    """It alone fails with ENOSPC."""
    FULL = "full"
    """It and all later ones fail with ENOSPC, but for unlinking: the disk stays full."""


class Injection:
    """Counts the operations on files below `root`, and makes the one of number `at` (from 1) fail."""

    def __init__(self, root: Path, fault: Fault | None = None, at: int = 0) -> None:
        self.root, self.fault, self.at = os.path.realpath(root), fault, at
        self.operations: list[str] = []

    def inside(self, target: Any) -> bool:
        """Whether a path, or an open file by its descriptor, is the folder or below it."""
        if isinstance(target, int):
            try:
                path = os.readlink(f"/proc/self/fd/{target}")
            except OSError:
                return False
        else:
            path = os.path.abspath(os.fsdecode(target))
        return path == self.root or path.startswith(self.root + os.sep)

    def step(self, operation: str, target: Any, half: Callable[[], Any] | None = None) -> None:
        """Count an operation, and let the fault happen if it is its turn."""
        if isinstance(target, int):
            target = os.readlink(f"/proc/self/fd/{target}")
        self.operations.append(f"{operation} {os.path.basename(os.fsdecode(target))}")
        number = len(self.operations)
        if self.fault is None or number < self.at or (number > self.at and self.fault != Fault.FULL):
            return
        if self.fault == Fault.TORN and half is not None:
            half()
        if self.fault in (Fault.KILL, Fault.TORN):
            os.kill(os.getpid(), signal.SIGKILL)
        if number == self.at or operation != "unlink":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def install(self) -> None:
        """Replace the functions of this process; there is no way back, so it is for a process that ends with the run.

        Code that did `from os import replace` before would not be noticed; none in this package does.
        """
        self._install_open()
        for name in ("mkdir", "rmdir", "unlink", "remove", "truncate", "ftruncate", "fsync", "fdatasync", "pwrite"):
            setattr(os, name, self._counted(name, getattr(os, name)))
        for name in ("replace", "rename"):
            setattr(os, name, self._counted_to("replace", getattr(os, name)))
        self._install_os_open()

    def _counted(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        name = {"remove": "unlink"}.get(name, name)

        def function(target: Any, *arguments: Any, **keywords: Any) -> Any:
            if self.inside(target):
                self.step(name, target)
            return original(target, *arguments, **keywords)

        return function

    def _counted_to(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def function(source: Any, target: Any, *arguments: Any, **keywords: Any) -> Any:
            if self.inside(target):
                self.step(name, target)
            return original(source, target, *arguments, **keywords)

        return function

    def _install_os_open(self) -> None:
        original = os.open

        def os_open(path: Any, flags: int, *arguments: Any, **keywords: Any) -> int:
            if flags & (os.O_CREAT | os.O_TRUNC) and self.inside(path):
                self.step("open", path)
            return original(path, flags, *arguments, **keywords)

        os.open = os_open

    def _install_open(self) -> None:
        injection, original = self, builtins.open

        class RawFile(io.FileIO):
            """A file whose writes are counted."""

            def write(self, data: Any) -> int:  # type: ignore[override]
                view = memoryview(data).cast("B")
                injection.step("write", self.name, lambda: super(RawFile, self).write(view[: len(view) // 2]))
                return super().write(view)

            def truncate(self, size: int | None = None) -> int:
                injection.step("truncate", self.name)
                return super().truncate(size)

        def counted_open(file: Any, mode: str = "r", buffering: int = -1, *arguments: Any, **keywords: Any) -> Any:
            if isinstance(file, int) or not set(mode) & set("wax+") or not injection.inside(file):
                return original(file, mode, buffering, *arguments, **keywords)
            injection.step("open", file)
            raw = RawFile(file, "".join(c for c in mode if c not in "bt"))
            if "b" in mode and buffering == 0:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *arguments, **keywords)

        builtins.open = io.open = counted_open  # type: ignore[assignment]
