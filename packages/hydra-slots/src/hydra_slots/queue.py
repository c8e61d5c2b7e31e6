"""The state of a sweep's trials: waiting, with another runner, finished, failed. Knows nothing of processes."""

import contextlib
import pickle
import time
from collections import Counter
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from hydra_slots.eta import Estimate, remaining
from hydra_slots.events import EventKind, TrialEvent
from hydra_slots.hydra_private import returned_or_raised
from hydra_slots.lock import is_locked
from hydra_slots.protocol import (
    Status,
    as_number,
    finished,
    last_row,
    paused,
    read_result,
    value_of,
    write_result,
    written,
)
from hydra_slots.sweep_plan import Job
from hydra_slots.tree import Tree

CHECK_INTERVAL = 1.0  # seconds between checks of the trials of other runners


class TrialFailed(RuntimeError):
    """Why a trial failed for good; stands as its job's error where its task has raised none."""


class TrialQueue:
    """Which trial is next, and what became of those that ran; `take_events` returns what has changed."""

    def __init__(self, jobs: list[Job], retries: int) -> None:
        self.jobs, self.retries = jobs, retries
        self.tree = Tree(jobs)
        self.waiting: list[Job] = []
        self.elsewhere: list[Job] = []
        self.outcomes: dict[int, JobReturn] = {}
        self.failures: list[tuple[Job, str]] = []
        self.attempts: Counter[int] = Counter()
        self.start_times: dict[int, float] = {}
        self.estimate = Estimate()
        self.last_check = 0.0
        self.events: list[TrialEvent] = []
        for job in jobs:
            if self.has_finished(job):
                self.finished_unreported(job, EventKind.FINISHED_EARLIER)
            elif self.has_paused(job):
                self.paused(job, EventKind.PAUSED_EARLIER)
            else:
                self.waiting.append(job)

    def take_events(self) -> list[TrialEvent]:
        """What has happened since the last call."""
        events, self.events = self.events, []
        return events

    @property
    def unfinished(self) -> int:
        """Trials that have neither finished nor paused nor failed for good."""
        return len(self.jobs) - len(self.outcomes)

    def remaining(self, job: Job) -> float:
        """Share of the trial's work that is to do, without what it can start from."""
        return remaining(job) - self.tree.spared(job)

    def has_finished(self, job: Job) -> bool:
        return job.protocol and finished(job.trial.folder)

    def has_paused(self, job: Job) -> bool:
        return job.protocol and paused(job.trial.folder, job.trial.pause)

    def next(self) -> Job | None:
        """The trial to start now, None where there is none: first attempts before retries, the longest first.

        Before that: one that shares no steps with a trial that runs and will leave them, and one that leads others.
        """
        idle = {job.index for job in self.waiting} | self.outcomes.keys()
        running, waiting = [job for job in self.jobs if job.index not in idle], list(self.waiting)

        def order(job: Job) -> tuple[float, ...]:
            length = self.estimate.of(job.trial) or job.trial.work
            lost, leads = self.tree.lost(job, running), self.tree.leads(job, waiting)
            return self.attempts[job.index], lost, -leads, -length

        self.waiting.sort(key=order)
        while self.waiting:
            job = self.waiting.pop(0)
            self.start_times[job.index] = time.time()
            if self.has_finished(job):
                self.finished_unreported(job, EventKind.FINISHED_ELSEWHERE)
                continue
            locked = self.is_locked(job)
            if locked:
                self.elsewhere.append(job)
            elif locked is not None:
                return job
        return None

    def is_locked(self, job: Job) -> bool | None:
        """Whether another process runs the trial; None, and a failure, for a folder that cannot be used."""
        try:
            return job.protocol and is_locked(job.trial.folder)
        except OSError as error:
            self.failed(job, f"folder cannot be used: {error.strerror}: {error.filename}", final=True)
            return None

    def put_back(self, job: Job) -> None:
        """A trial that could not be started after all."""
        self.waiting.append(job)

    def check_elsewhere(self) -> None:
        """Trials of other runners: note those that finished, take over those that were abandoned."""
        if time.monotonic() - self.last_check < CHECK_INTERVAL:
            return
        self.last_check = time.monotonic()
        for job in list(self.elsewhere):
            if self.has_finished(job):
                self.elsewhere.remove(job)
                self.finished_unreported(job, EventKind.FINISHED_ELSEWHERE)
            elif not (locked := self.is_locked(job)):
                self.elsewhere.remove(job)
                self.waiting += [job] if locked is not None else []

    def returned(self, job: Job, blob: bytes | None, seconds: float) -> None:
        """A task has returned; the protocol says whether its trial is finished."""
        if job.protocol and not finished(job.trial.folder):
            locked = self.is_locked(job)
            if locked:
                self.elsewhere.append(job)
            elif locked is not None and self.has_paused(job):
                self.paused(job, EventKind.PAUSED, unpickled(blob))
            elif locked is not None:
                self.failed(job, "the task returned without a finished result.json")
            return
        result = unpickled(blob) or JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
        self.settle(job, result, seconds, EventKind.FINISHED)

    def finished_unreported(self, job: Job, kind: EventKind) -> None:
        """A trial that finished without a report: earlier, elsewhere, or in a worker that died right afterwards."""
        result = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
        result.return_value = value_of(read_result(job.trial.folder))
        self.settle(job, result, None, kind)

    def paused(self, job: Job, kind: EventKind, outcome: JobReturn | None = None) -> None:
        """A trial has got as far as this sweep wants it; another one may finish it."""
        row = last_row(job.trial.folder)
        if outcome is None:
            outcome = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
            outcome.return_value = row.get(job.trial.metric)
        self.outcomes[job.index] = outcome
        self.events.append(TrialEvent(kind, job, result={"metrics": row}))

    def settle(self, job: Job, outcome: JobReturn, seconds: float | None, kind: EventKind) -> None:
        result = read_result(job.trial.folder) if job.protocol else {"value": outcome.return_value}
        known = as_number(result.get("seconds"))
        seconds = seconds if known is None else known
        self.outcomes[job.index] = outcome
        self.estimate.add(job.trial, seconds)
        self.events.append(TrialEvent(kind, job, result=result, seconds=seconds))

    def failed(self, job: Job, reason: str, blob: bytes | None = None, final: bool = False) -> None:
        """Retry, unless that is pointless (`final`) or was done already; then record the failure."""
        self.attempts[job.index] += 1
        if not final and self.attempts[job.index] <= self.retries:
            self.events.append(TrialEvent(EventKind.RETRY, job, reason))
            self.waiting.append(job)
            return
        outcome = unpickled(blob) or JobReturn(overrides=job.overrides, status=JobStatus.FAILED)
        if not isinstance(returned_or_raised(outcome), BaseException):
            outcome.return_value = TrialFailed(reason)
        self.outcomes[job.index] = outcome
        self.failures.append((job, reason))
        if job.protocol and written(job.trial.folder) < self.start_times[job.index]:  # the task itself wrote none
            trial = job.trial
            about = {"identity": trial.identity, "name": trial.name, "status": Status.FAILED, "error": reason}
            with contextlib.suppress(OSError):  # a full disk, or no folder: the terminal says it
                write_result(trial.folder, about)
        self.events.append(TrialEvent(EventKind.FAILED, job, reason))


def unpickled(blob: bytes | None) -> Any:
    """A job's return from its worker; None where this process cannot rebuild it."""
    try:
        return pickle.loads(blob) if blob else None
    except Exception:
        return None
