"""The state of a sweep's trials: to do, with another runner, finished, failed for good. Knows nothing of processes."""

import pickle
import time
from collections import Counter
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from rdrop_exp.launch.display import Board
from rdrop_exp.launch.eta import Estimate
from rdrop_exp.launch.lock import is_locked
from rdrop_exp.launch.plan import Job
from rdrop_exp.launch.protocol import finished, read_result, value_of, write_result, written

LOOK = 1.0  # seconds between looks at the trials of other runners


class TrialFailed(RuntimeError):
    """Why a trial failed for good; stands as its job's error."""

    told = True


class Ledger:
    """Which trial is next, and what became of those that ran."""

    def __init__(self, jobs: list[Job], retries: int, board: Board) -> None:
        self.jobs, self.retries, self.board = jobs, retries, board
        self.queue: list[Job] = []
        self.elsewhere: list[Job] = []
        self.outcomes: dict[int, JobReturn] = {}
        self.failures: list[tuple[Job, str]] = []
        self.attempts: Counter[int] = Counter()
        self.begun: dict[int, float] = {}
        self.estimate = Estimate()
        self.looked = 0.0
        for job in jobs:
            if self.has_finished(job):
                self.found(job, "before")
            else:
                self.queue.append(job)

    @property
    def missing(self) -> int:
        """Trials that have neither finished nor failed for good."""
        return len(self.jobs) - len(self.outcomes)

    def has_finished(self, job: Job) -> bool:
        return job.protocol and finished(job.trial.folder)

    def next(self) -> Job | None:
        """The trial to start now: first tries before retries, the longest first; None where there is none."""
        self.queue.sort(key=lambda job: (self.attempts[job.index], -(self.estimate.of(job.trial) or job.trial.work)))
        while self.queue:
            job = self.queue.pop(0)
            if self.has_finished(job):
                self.found(job, "elsewhere")
            elif job.protocol and is_locked(job.trial.folder):
                self.elsewhere.append(job)
            else:
                self.begun[job.index] = time.time()
                return job
        return None

    def look_elsewhere(self) -> None:
        """Trials of other runners: note those that finished, take over those that were abandoned."""
        if time.monotonic() - self.looked < LOOK:
            return
        self.looked = time.monotonic()
        for job in list(self.elsewhere):
            if self.has_finished(job):
                self.elsewhere.remove(job)
                self.found(job, "elsewhere")
            elif not is_locked(job.trial.folder):
                self.elsewhere.remove(job)
                self.queue.append(job)

    def returned(self, job: Job, blob: bytes | None, seconds: float) -> None:
        """A task has returned; the protocol says whether its trial is finished."""
        if job.protocol and not finished(job.trial.folder):
            if is_locked(job.trial.folder):
                self.elsewhere.append(job)
            else:
                self.failed(job, "its task returned without a finished result.json")
            return
        result = rebuild(blob) or JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
        self.settle(job, result, seconds, "")

    def found(self, job: Job, where: str) -> None:
        """A trial that finished without a report: before, elsewhere, or here (where is empty) as its worker died."""
        result = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
        result.return_value = value_of(read_result(job.trial.folder))
        self.settle(job, result, None, where)

    def settle(self, job: Job, outcome: JobReturn, seconds: float | None, where: str) -> None:
        result = read_result(job.trial.folder) if job.protocol else {}
        seconds = result.get("seconds", seconds)
        self.outcomes[job.index] = outcome
        self.estimate.add(job.trial, seconds)
        self.board.finished(job, result, seconds, where)

    def failed(self, job: Job, reason: str, blob: bytes | None = None, final: bool = False) -> None:
        """Try again, unless that is pointless (`final`) or has been done; then record the failure."""
        self.attempts[job.index] += 1
        if not final and self.attempts[job.index] <= self.retries:
            self.board.say(f"again: {job.trial.name}: {reason}")
            self.queue.append(job)
            return
        outcome = rebuild(blob) or JobReturn(overrides=job.overrides, status=JobStatus.FAILED)
        outcome.return_value = TrialFailed(reason)
        self.outcomes[job.index] = outcome
        self.failures.append((job, reason))
        if job.protocol and written(job.trial.folder) < self.begun[job.index]:  # the task, which knows more, wrote none
            about = {"identity": job.trial.identity, "name": job.trial.name, "status": "failed", "error": reason}
            write_result(job.trial.folder, about)
        self.board.failed(job, reason)


def rebuild(blob: bytes | None) -> Any:
    """A job's return from its worker; None where this process cannot rebuild it."""
    try:
        return pickle.loads(blob) if blob else None
    except Exception:
        return None
