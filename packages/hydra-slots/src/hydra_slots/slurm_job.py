"""What a Slurm job runs: a part of a sweep, in warm worker processes on what Slurm has allocated to it.

Before its time limit and before it is preempted, Slurm sends a signal: the trials save checkpoints, and the job is
queued again. As trials follow the protocol, a job that Slurm starts again goes on where it was.
"""

import os
import pickle
import signal
import subprocess
from pathlib import Path
from typing import Any

from hydra_slots.devices import allocate
from hydra_slots.protocol import atomic_file
from hydra_slots.runner import Runner
from hydra_slots.sweep_plan import SweepPlan
from hydra_slots.worker import pickled

REQUEUE = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)
"""From Slurm; SIGINT comes from the launcher, whose sweep is being stopped."""


def main(folder: str) -> None:
    """Run part SLURM_ARRAY_TASK_ID of the sweep that is in `folder`, and leave the returns of its trials there."""
    number = os.environ["SLURM_ARRAY_TASK_ID"]
    with open(Path(folder) / "parts.pickle", "rb") as file:
        options, parts = pickle.load(file)
    jobs = parts[int(number)]
    with open(Path(folder) / "setup.pickle", "rb") as setup:
        slots = allocate(options.gpus or 0, options.per_gpu, options.threads, options.slots)
        runner = Runner(SweepPlan(jobs), slots, options, setup)
        for warning in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(warning, lambda received, _: runner.signals.append(received))
        runner.run()
    for job, reason in runner.queue.failures:
        print(f"failed: {job.trial.name}: {reason}", flush=True)
    if runner.signals and runner.queue.unfinished:
        if runner.signals[0] in REQUEUE and is_wanted():
            requeue(options.requeues)
        raise SystemExit(128 + runner.signals[0])
    write_returns(Path(folder) / f"{number}.returns", runner.queue.outcomes)


def write_returns(path: Path, outcomes: dict[int, Any]) -> None:
    """The jobs' returns by index, each pickled by itself: the launcher may be unable to rebuild one of them."""
    with atomic_file(path, "wb") as file:
        pickle.dump({index: pickled(outcome) for index, outcome in outcomes.items()}, file)


def is_wanted() -> bool:
    """Whether Slurm has warned this job, which still runs, and not cancelled it, nor taken it back by itself."""
    done = subprocess.run(["scontrol", "show", "job", os.environ["SLURM_JOB_ID"]], capture_output=True, text=True)
    return "JobState=RUNNING" in done.stdout


def requeue(most: int) -> None:
    """Let Slurm queue this job again, unless it has done so `most` times; this ends the process."""
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    if restarts >= most:
        raise SystemExit(f"stopped, and not queued again: hydra.launcher.requeues={most}")
    print(f"saved; queued again for the {restarts + 1}. time", flush=True)
    subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True)
