"""Real processes for the tests of several ranks: all run the same trials, one after another."""

import multiprocessing
import os
import socket
import sys
import traceback
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")  # imports torch once for all of them
CONTEXT.set_forkserver_preload(["rdrop_exp.train.trial", "rdrop_exp.models.build", "rdrop_exp.data.resident"])


def start(folder: Path, size: int, jobs: list[dict[str, Any]]) -> list[ForkServerProcess]:
    """The ranks, started; each writes what it prints to `rank<N>.txt` in the folder."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    processes = [CONTEXT.Process(target=_run, args=(rank, size, port, jobs, folder)) for rank in range(size)]
    for process in processes:
        process.start()
    return processes


def run(folder: Path, size: int, jobs: list[dict[str, Any]]) -> None:
    """Run the trials to their end on that many ranks."""
    codes = wait(start(folder, size, jobs))
    printed = "\n".join((folder / f"rank{rank}.txt").read_text() for rank in range(size))
    assert codes == [0] * size, printed


def wait(processes: list[ForkServerProcess], seconds: float = 240.0) -> list[int | None]:
    """Their exit codes."""
    for process in processes:
        process.join(seconds)
    return [process.exitcode for process in processes]


def _run(rank: int, size: int, port: int, jobs: list[dict[str, Any]], folder: Path) -> None:
    from rdrop_exp.analysis.online import make_analysis
    from rdrop_exp.config.checks import from_dict
    from rdrop_exp.train import trial

    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    output = os.open(folder / f"rank{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    try:
        for values in jobs:
            trial.run(from_dict(values), "", make_analysis)
    except Exception as error:
        traceback.print_exc()
        print(f"{type(error).__name__}: {error}", flush=True)
        raise SystemExit(1) from None
