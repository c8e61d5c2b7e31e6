"""The runner's handle of a worker process: start it, talk to it, stop it, and say what it died of.

A worker has its own session, so that the terminal's Ctrl-C reaches the runner alone.
"""

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from hydra_slots.devices import Slot

CODE = "import sys; sys.path[:] = {path!r}; from hydra_slots.worker import main; main({arguments})"


class Worker:
    """A worker process, seen from the runner."""

    def __init__(self, slot: Slot, setup: IO[bytes], environment: Mapping[str, str] = MappingProxyType({})) -> None:
        """Start it, with the slot's environment and this one; `setup` is the file of `write_setup`."""
        ours, theirs = socket.socketpair()
        self.slot = slot
        self.output = unnamed_file()
        code = CODE.format(path=sys.path, arguments=f"{theirs.fileno()}, {os.getpid()}, {setup.fileno()}")
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, f"hydra-slots-worker-{slot.index}"],
            env={**os.environ, **slot.environment(), **environment},
            pass_fds=[theirs.fileno(), setup.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        theirs.close()
        self.connection = Connection(ours.detach())
        self.ready = False

    def send(self, message: tuple[Any, ...]) -> None:
        """Hand over a trial; `alive` notices if the worker is dead."""
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def receive(self) -> Any:
        """Its next message, or None if there is none."""
        try:
            return self.connection.recv() if self.connection.poll() else None
        except (EOFError, OSError, pickle.UnpicklingError):
            return None

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """Ask it to checkpoint and end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    def dismiss(self) -> None:
        """Let an idle worker end by itself."""
        self.connection.close()

    def kill(self) -> None:
        """End it and whatever it started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """End it and release its resources."""
        self.kill()
        self.connection.close()
        self.output.close()

    def printed(self) -> str:
        """What it printed outside of trials."""
        self.output.seek(0)
        return self.output.read().decode(errors="replace").strip()

    def memory(self) -> int | None:
        """Resident memory, MiB."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE") >> 20

    def cause_of_exit(self) -> str:
        """Why it ended, for people."""
        code = self.process.wait()
        if code >= 0:
            return f"process exited with code {code}"
        hint = " (possibly out of memory)" if code == -signal.SIGKILL else ""
        return f"process killed by {signal.Signals(-code).name}{hint}"


def unnamed_file() -> IO[bytes]:
    """A file that nothing has to delete: in memory if the system can, or else in the temporary folder."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("hydra-slots"), "w+b")
    return tempfile.TemporaryFile()


def write_setup(context: Any, task: Any, master: Any, accumulate_key: str | None) -> IO[bytes]:
    """An unnamed file with what every worker needs to run Hydra jobs; it goes when the last process closes it."""
    from hydra.core.singleton import Singleton

    from hydra_slots.pickling import dumps

    state = {"context": context, "task": task, "master": master, "singletons": Singleton.get_state()}
    file = unnamed_file()
    pickle.dump({"argv": sys.argv, "accumulate_key": accumulate_key, "pickled": dumps(state)}, file)
    file.flush()
    return file
