"""A sweep as one array of Slurm jobs: submitted, watched, stopped. Only files and Slurm's commands connect the two."""

import os
import pickle
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from hydra_slots.display import Display
from hydra_slots.ending import reason_of
from hydra_slots.errors import SweepError
from hydra_slots.events import EventKind
from hydra_slots.options import SlurmConf
from hydra_slots.progress import Progress
from hydra_slots.queue import unpickled
from hydra_slots.runner import collect_signals
from hydra_slots.summary import counted
from hydra_slots.sweep_plan import Job, SweepPlan

LOOK = 2.0  # seconds between looks at the trials' files
ASK = 10.0  # seconds between questions to Slurm
LOST = 20.0  # seconds after which a job that has ended without a sign of its returns has left none
CODE = "import sys; sys.path[:] = {path!r}; from hydra_slots.slurm_job import main; main({folder!r})"
ACTIVE = {
    "PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD",
    "RESIZING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SUSPENDED",
}  # fmt: skip


class SlurmSweep:
    """One job array, from its submission to its end."""

    def __init__(self, plan: SweepPlan, options: SlurmConf) -> None:
        self.options = options
        self.display = Display(plan.jobs, options.metric, options.lower_is_better)
        self.progress = Progress(plan.jobs, self.display)
        self.queue = self.progress.queue
        self.signals: list[int] = []
        self.parts: dict[int, list[Job]] = {}
        """Jobs of the array whose end is not known."""
        self.states: Counter[str] = Counter()
        self.silent_since: dict[int, float] = {}
        self.unreachable = ""
        self.id = ""
        self.folder = Path()

    # -- submission -------------------------------------------------------------------------------------------------
    def submit(self, setup: bytes) -> None:
        """Write what the jobs need into a folder beside the trials, and submit the array; `SweepError` if refused."""
        jobs, size = self.queue.waiting, self.options.trials_per_job
        parts = [jobs[i : i + size] for i in range(0, len(jobs), size)]
        self.parts = dict(enumerate(parts))
        self.queue.start_times.update({job.index: time.time() for job in jobs})
        parent = Path(jobs[0].trial.folder).absolute().parent / "slurm"
        self.folder = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        self.folder.mkdir(parents=True)
        (self.folder / "setup.pickle").write_bytes(setup)
        (self.folder / "parts.pickle").write_bytes(pickle.dumps((self.options, parts)))
        (self.folder / "job.sh").write_text(script(self.options, self.folder, len(parts)))
        done = command("sbatch", "--parsable", str(self.folder / "job.sh"))
        if done.returncode:
            shutil.rmtree(self.folder)
            raise SweepError(f"Slurm refused the sweep: {last_line(done.stderr).removeprefix('sbatch: error: ')}")
        self.id = done.stdout.strip().partition(";")[0]
        self.display.line(f"Slurm job {self.id}: {counted(len(parts), 'job')}, logs in {self.folder}")

    # -- waiting ----------------------------------------------------------------------------------------------------
    def run(self) -> None:
        """Wait until every job has ended; early, trials saved, after a signal; a second one cancels the jobs."""
        asked, stopping, shown = 0.0, False, ""
        with collect_signals(self.signals):
            while self.parts:
                if len(self.signals) > 1:
                    command("scancel", self.id)
                    break
                if self.signals and not stopping:
                    stopping = True
                    self.stop()
                time.sleep(0.2 if self.signals else LOOK)
                self.progress.look()
                self.collect()
                if self.parts and time.monotonic() - asked > (1.0 if self.signals else ASK):
                    asked = time.monotonic()
                    self.ask()
                self.progress.show()
                if (line := self.line()) != shown and self.parts:
                    shown = line
                    self.display.line(line)
        for name in ("setup.pickle", "parts.pickle"):
            (self.folder / name).unlink(missing_ok=True)

    def collect(self) -> None:
        """Settle the trials of jobs that have left their returns."""
        for number, jobs in list(self.parts.items()):
            path = self.folder / f"{number}.returns"
            if not path.exists():
                continue
            returns = {index: unpickled(blob) for index, blob in pickle.loads(path.read_bytes()).items()}
            path.unlink()
            del self.parts[number]
            for job in jobs:
                self.settle(job, returns.get(job.index), "the job has ended without finishing it")

    def settle(self, job: Job, returned: JobReturn | None, otherwise: str) -> None:
        """What became of a trial: by its files, or else by what its job returned."""
        if job.index in self.queue.outcomes:
            return
        if self.queue.has_finished(job):
            self.queue.finished_unreported(job, EventKind.FINISHED)
        elif self.queue.has_paused(job):
            self.queue.paused(job, EventKind.PAUSED, returned)
        elif returned is not None and returned.status == JobStatus.COMPLETED and not job.protocol:
            self.queue.settle(job, returned, None, EventKind.FINISHED)
        elif not self.signals:
            failed = returned is not None and returned.status == JobStatus.FAILED
            self.queue.failed(job, reason_of(returned) if returned is not None and failed else otherwise)
        if job in self.queue.waiting:
            self.queue.waiting.remove(job)

    def ask(self) -> None:
        """Ask Slurm for the states of the jobs, and give up those that have ended and left nothing."""
        done = command("squeue", "--noheader", "--array", "--states=all", f"--jobs={self.id}", "--format=%K %T")
        if done.returncode and "Invalid job id" not in done.stderr:
            self.unreachable = last_line(done.stderr) or "no answer"
            return
        self.unreachable = ""
        known = {int(k): s for k, s in map(str.split, done.stdout.splitlines()) if k.isdigit()}
        self.states = Counter(known[number] for number in self.parts if number in known)
        now = time.monotonic()
        for number, jobs in list(self.parts.items()):
            state = known.get(number, "unknown to Slurm")
            if state in ACTIVE:
                self.silent_since.pop(number, None)
            elif now - self.silent_since.setdefault(number, now) > (0.0 if self.signals else LOST):
                del self.parts[number]
                log = self.folder / f"{number}.log"
                for job in jobs:
                    self.settle(job, None, f"Slurm job {self.id}_{number} ended as {state}, see {log}")

    def line(self) -> str:
        """`Slurm job 12: 3 pending, 2 running; 5 of 10 trials finished`."""
        words = ", ".join(f"{count} {state.lower()}" for state, count in sorted(self.states.items())) or "submitted"
        words = f"{words} (does not answer: {self.unreachable})" if self.unreachable else words
        return f"Slurm job {self.id}: {words}; {self.display.finished} of {self.display.total} trials finished"

    def stop(self) -> None:
        """Take what is pending from the queue, and let running trials save their checkpoints."""
        self.display.line("Stopping: running trials are saving checkpoints. Press Ctrl-C again to cancel their jobs.")
        command("scancel", "--state=PENDING", self.id)
        command("scancel", "--signal=INT", self.id)


def script(o: SlurmConf, folder: Path, parts: int) -> str:
    """The batch script: what is asked of Slurm, and one Python process, started by srun so that signals reach it."""
    warning = round(o.grace) + 60  # seconds before the end; Slurm may be a minute late
    if o.minutes:
        warning = min(warning, o.minutes * 30)
    wanted: dict[str, Any] = {
        "job-name": folder.parent.parent.name,
        "array": f"0-{parts - 1}" + (f"%{o.jobs_at_once}" if o.jobs_at_once else ""),
        "output": folder / "%a.log",
        "open-mode": "append",
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": o.cpus,
        "gpus-per-node": o.gpus or None,
        "mem": o.memory,
        "time": o.minutes,
        "partition": o.partition,
        "account": o.account,
        "qos": o.qos,
        "requeue": True,
        "signal": f"USR2@{warning}",
        **o.sbatch,
    }
    lines = [
        f"#SBATCH --{key}" + ("" if value is True else f"={shlex.quote(str(value))}")
        for key, value in wanted.items()
        if value is not None and value is not False
    ]
    code = CODE.format(path=sys.path, folder=str(folder))
    step = ["srun", f"--cpus-per-task={o.cpus}", sys.executable, "-u", "-c", code]
    return "\n".join(["#!/bin/bash", *lines, *o.setup, f"exec {shlex.join(step)}", ""])


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """One of Slurm's commands; a failure where it is missing or does not answer."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", str(error))


def last_line(text: str) -> str:
    return next(iter(reversed(text.strip().splitlines())), "")
