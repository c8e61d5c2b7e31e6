"""What a worker process runs: one trial after another, with everything imported once.

Its output goes to the log.txt of the trial it runs. It is stopped when the runner dies, by whatever cause.
"""

import contextlib
import ctypes
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from enum import StrEnum
from multiprocessing.connection import Connection
from typing import Any

from hydra_slots.devices import rank


class MessageKind(StrEnum):
    """What a worker says, and what the runner finds out where it no longer can."""

    READY = "ready"
    RETURNED = "returned"
    RAISED = "raised"
    STOPPED = "stopped"
    DIED = "died"
    NOT_STARTED = "not started"


OUT_OF_MEMORY = ("out of memory", "outofmemory", "memoryerror", "can't allocate memory")


def main(descriptor: int, runner: int, setup: int) -> None:
    """The worker: receive (index, overrides, log) and answer with a message, until the runner closes the pipe.

    `setup` is the descriptor of the file of `process.write_setup`, which all workers share.
    """
    signal.signal(signal.SIGTERM, terminate)
    for warning in (signal.SIGUSR1, signal.SIGUSR2):  # Slurm sends them to all processes; the runner stops its workers
        signal.signal(warning, signal.SIG_IGN)
    die_with(runner)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    connection = Connection(descriptor)
    common = pickle.loads(os.pread(setup, os.fstat(setup).st_size, 0))
    os.close(setup)
    sys.argv = common["argv"]
    from hydra.core.singleton import Singleton
    from hydra.core.utils import setup_globals

    state = pickle.loads(common["pickled"])
    setup_globals()
    Singleton.set_state(state["singletons"])
    connection.send({"kind": MessageKind.READY})
    while True:
        try:
            index, overrides, log = connection.recv()
        except EOFError:
            return
        try:
            with output_to(log):
                message = run(state, index, overrides, common["accumulate_key"])
        except OSError as error:
            message = {"kind": MessageKind.RAISED, "reason": f"log cannot be written: {error.strerror}: {log}"}
        with contextlib.suppress(BrokenPipeError):
            connection.send(message)
        if message["kind"] != MessageKind.RETURNED:
            return  # a failure may leave a GPU or memory in any state: the next trial gets a new process


def run(state: dict[str, Any], index: int, overrides: list[str], accumulate_key: str | None) -> dict[str, Any]:
    """Run one Hydra job, and say how it ended: kind is RETURNED, RAISED or STOPPED."""
    from hydra.core.utils import JobStatus, run_job
    from omegaconf import OmegaConf, open_dict

    from hydra_slots.hydra_private import returned_or_raised

    details: dict[str, Any] = {}
    try:
        if not rank():
            words = " ".join(overrides)
            print(f"# {time.strftime('%Y-%m-%d %H:%M:%S')} {socket.gethostname()} pid {os.getpid()}: {words}")
        config = state["context"].config_loader.load_sweep_config(state["master"], overrides)
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(index), index
        details["accumulate"] = OmegaConf.select(config, accumulate_key) if accumulate_key else None
        job = run_job(
            hydra_context=state["context"],
            task_function=state["task"],
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        if job.status == JobStatus.COMPLETED:
            return {"kind": MessageKind.RETURNED, "pickled": pickled(job)}
        error = returned_or_raised(job)
        details["pickled"] = pickled(job)
    except (SystemExit, KeyboardInterrupt) as stop:
        code = stop.code if isinstance(stop, SystemExit) else 128 + signal.SIGINT
        return {"kind": MessageKind.STOPPED, "reason": f"the task ended the process with code {code}"}
    except Exception as raised:
        error = raised
    with contextlib.suppress(OSError):  # a full disk
        traceback.print_exception(error)
    words = f"{type(error).__name__}: {error}"
    memory = any(sign in words.lower() for sign in OUT_OF_MEMORY)
    option = bool(getattr(error, "option_error", False))
    reason = str(error) if option else words
    return {"kind": MessageKind.RAISED, "reason": reason, "memory": memory, "option": option, **details}


def pickled(job: Any) -> bytes | None:
    """A JobReturn for the runner; with its value as text where that cannot be pickled."""
    import cloudpickle

    from hydra_slots.hydra_private import replace_outcome, returned_or_raised

    for _ in range(2):
        try:
            return bytes(cloudpickle.dumps(job))
        except Exception:
            replace_outcome(job, repr(returned_or_raised(job)))
    return None


@contextlib.contextmanager
def output_to(path: str) -> Iterator[None]:
    """Append stdout and stderr, those of C libraries and child processes too, to a file."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    originals = os.dup(1), os.dup(2)
    sys.stdout.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # a full disk
                stream.flush()
        for original, standard in zip(originals, (1, 2), strict=True):
            os.dup2(original, standard)
            os.close(original)


def terminate(number: int, _: Any) -> None:
    """SIGTERM, where the task does not catch it itself: unwind, once, so that what is open is closed."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def die_with(runner: int) -> None:
    """Get SIGTERM when the runner dies: from the kernel on Linux, from a watching thread elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != runner:  # it died before prctl
            raise SystemExit(1)
        return

    def watch() -> None:
        while os.getppid() == runner:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
