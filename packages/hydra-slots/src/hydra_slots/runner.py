"""One sweep on this machine: the queue's trials go to the pool, results back to it, events to the display."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from hydra_slots.devices import Slot
from hydra_slots.display import Display
from hydra_slots.eta import Estimate, remaining
from hydra_slots.events import EventKind, Snapshot, WorkerRow
from hydra_slots.options import SlotsConf
from hydra_slots.pool import AttemptResult, Pool
from hydra_slots.protocol import last_log_line, last_row
from hydra_slots.queue import TrialQueue
from hydra_slots.sweep_plan import Job, SweepPlan
from hydra_slots.worker import MessageKind


class Runner:
    """Runs every trial of a plan that is not finished."""

    def __init__(self, plan: SweepPlan, slots: list[Slot], options: SlotsConf, setup: IO[bytes]) -> None:
        self.options = options
        self.queue = TrialQueue(plan.jobs, options.retries)
        self.display = Display(plan.jobs, options.metric, options.lower_is_better, options.columns)
        self.pool = Pool(slots, options, setup, self.display.line)
        self.signals: list[int] = []
        self.share_at_start: dict[int, float] = {}
        """By job: share of its work that was to do when it was started."""

    @property
    def stopping(self) -> bool:
        return bool(self.signals) or bool(self.options.fail_fast and self.queue.failures)

    def run(self) -> None:
        """Run everything that is not finished; returns early, workers stopped, after a signal or with fail_fast."""
        self.show_events()
        with collect_signals(self.signals), self.display.live():
            try:
                while self.queue.unfinished and not self.stopping:
                    self.pool.assign(lambda: bool(self.queue.waiting), self.next_job)
                    self.step()
                    self.queue.check_elsewhere()
                self.wind_down()
            finally:
                self.pool.close()

    def next_job(self) -> Job | None:
        job = self.queue.next()
        if job is not None:
            self.share_at_start[job.index] = self.queue.remaining(job)
        return job

    def step(self) -> None:
        """Wait a moment for the workers, settle what has ended, and show it."""
        for result in self.pool.listen():
            self.settle(result)
        self.show_events()
        self.display.refresh(self.snapshot)

    def settle(self, result: AttemptResult) -> None:
        """Tell the queue how an attempt ended; one that ends because everything stops is no failure."""
        job = result.job
        if result.kind == MessageKind.RETURNED:
            self.queue.returned(job, result.pickled, result.seconds)
        elif result.kind == MessageKind.NOT_STARTED:
            self.queue.put_back(job)
        elif self.queue.has_finished(job):
            self.queue.finished_unreported(job, EventKind.FINISHED)
        elif not self.stopping:
            self.queue.failed(job, result.reason, result.pickled, result.final)

    def show_events(self) -> None:
        for event in self.queue.take_events():
            self.display.show_event(event)

    def wind_down(self) -> None:
        """Stop what runs and let idle workers go; a second signal kills."""
        if self.pool.running:
            self.display.line("Stopping: running trials are saving checkpoints. Press Ctrl-C again to kill them.")
        self.pool.end_all()
        while self.pool.assignments:
            if len(self.signals) > 1:
                self.pool.kill_all()
            self.step()
        self.show_events()

    # -- for the display --------------------------------------------------------------------------------------------
    def snapshot(self) -> Snapshot:
        now, rows = time.monotonic(), []
        for slot, assignment in self.pool.assignments.items():
            job, memory = assignment.job, assignment.worker.memory()
            if job is None:
                rows.append(WorkerRow(str(slot), memory=memory))
                continue
            metrics = last_row(job.trial.folder) if job.protocol else {}
            line = last_log_line(job.trial.folder).removeprefix(f"{job.trial.name}: ")
            stage = line if assignment.worker.ready and line else "starting"
            rows.append(WorkerRow(str(slot), job.trial.name, stage, metrics, memory, now - assignment.since))
        return Snapshot(rows, len(self.queue.elsewhere), self.seconds_left())

    def seconds_left(self) -> float | None:
        """Expected seconds until all is done; None: unknown."""
        jobs = [*(a.job for a in self.pool.running if a.job), *self.queue.waiting]
        if not jobs:
            return None
        estimate = self.queue.estimate if self.queue.estimate.work else self.extrapolate()
        return estimate.total([(job.trial, self.queue.remaining(job)) for job in jobs], len(self.pool.slots))

    def extrapolate(self) -> Estimate:
        """An estimate before any trial has finished: from the progress of those that run."""
        estimate = Estimate()
        for assignment in self.pool.running:
            assert assignment.job is not None
            share = self.share_at_start[assignment.job.index] - remaining(assignment.job)
            if share > 0:
                estimate.add(assignment.job.trial, (time.monotonic() - assignment.since) / share)
        return estimate


@contextmanager
def collect_signals(received: list[int]) -> Iterator[None]:
    """Collect SIGINT and SIGTERM instead of dying of them (where this is the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda n, _: received.append(n)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
