"""Real processes for the tests of several ranks: all run the same trials, one after another."""

import itertools
import multiprocessing
import os
import signal
import socket
import sys
import warnings
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

from rdrop_exp.train.watch import LostRank

CONTEXT = multiprocessing.get_context("forkserver")  # imports torch once for all of them
CONTEXT.set_forkserver_preload(["rdrop_exp.train.trial", "rdrop_exp.models.build", "rdrop_exp.data.resident"])
Options = dict[str, Any]


class Job(NamedTuple):
    """A trial, and the step at which the last rank gets a SIGTERM; 0: none."""

    options: Options
    stop: int = 0


def start(folder: Path, size: int, jobs: list[Job]) -> list[ForkServerProcess]:
    """The ranks, started; each writes what it prints to `rank<N>.txt` in the folder."""
    folder.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    processes = [CONTEXT.Process(target=_run, args=(rank, size, port, jobs, folder)) for rank in range(size)]
    for process in processes:
        process.start()
    return processes


def run(folder: Path, size: int, jobs: list[Job]) -> list[str]:
    """Run the trials to their end on that many ranks; what each of these has printed."""
    codes = wait(start(folder, size, jobs))
    printed = [(folder / f"rank{rank}.txt").read_text() for rank in range(size)]
    assert codes == [0] * size, "\n".join(printed)
    return printed


def wait(processes: list[ForkServerProcess], seconds: float = 240.0) -> list[int | None]:
    """Their exit codes; None for one that has not ended."""
    for process in processes:
        process.join(seconds)
    return [process.exitcode for process in processes]


def _run(rank: int, size: int, port: int, jobs: list[Job], folder: Path) -> None:
    from rdrop_exp.analysis.online import make_analysis
    from rdrop_exp.config.checks import from_dict
    from rdrop_exp.config.schema import OptionError
    from rdrop_exp.train import loop, trial

    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})  # a fork server of image workers blocks
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    output = os.open(folder / f"rank{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    warnings.simplefilter("error")
    train_step, steps = loop.train_step, itertools.count(1)

    def stopping(*arguments: Any) -> Any:
        if next(steps) == job.stop and rank == size - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return train_step(*arguments)

    for job in jobs:
        steps = itertools.count(1)
        loop.train_step = stopping if job.stop else train_step  # type: ignore[assignment]
        try:
            trial.run(from_dict(job.options), "", make_analysis)
        except (OptionError, LostRank) as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            if isinstance(error, LostRank):
                raise SystemExit(1) from None
        except SystemExit as end:
            if not job.stop:
                raise
            print(f"ended with {end.code}", flush=True)
