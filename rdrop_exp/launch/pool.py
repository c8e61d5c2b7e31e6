"""The runner's loop: gives trials to slots, survives whatever they die of, and stops without losing work."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from rdrop_exp.launch.devices import Slot, free_memory
from rdrop_exp.launch.display import Board
from rdrop_exp.launch.eta import remaining
from rdrop_exp.launch.plan import Job
from rdrop_exp.launch.process import Worker
from rdrop_exp.launch.queue import Ledger

TICK = 0.2  # seconds between looks at what sends no message: deaths, time-outs, other runners
NEVER = float("inf")


@dataclass(slots=True)
class Run:
    """One slot's worker and the trial that it runs."""

    worker: Worker
    job: Job | None = None
    since: float = 0.0
    ending: str = ""
    """Why the worker is about to end; empty: it is not."""
    kill_at: float = NEVER


class Pool:
    """Runs the trials of a ledger on slots, a worker process each."""

    def __init__(self, ledger: Ledger, slots: list[Slot], options: Any, setup: str, board: Board) -> None:
        self.ledger, self.slots, self.options, self.setup, self.board = ledger, slots, options, setup, board
        self.runs: dict[Slot, Run] = {}
        self.signals: list[int] = []
        self.waiting: dict[Slot, float] = {}  # for memory, until the next look
        self.last_start = -NEVER
        self.stillborn = 0

    def run(self) -> None:
        """Run everything that is not finished; returns early, workers stopped, after a signal or with fail_fast."""
        with self.handlers(), self.board.show(self):
            try:
                while self.ledger.missing and not self.stopping:
                    self.assign()
                    self.listen()
                    self.ledger.look_elsewhere()
                    self.board.refresh()
                self.wind_down()
            finally:
                for run in self.runs.values():
                    run.worker.close()

    @property
    def stopping(self) -> bool:
        return bool(self.signals) or bool(self.options.fail_fast and self.ledger.failures)

    # -- giving trials to slots -------------------------------------------------------------------------------------
    def assign(self) -> None:
        """Give each free slot a trial."""
        for slot in self.slots:
            run = self.runs.get(slot)
            free = self.room(slot) if run is None else not (run.job or run.ending)
            job = self.ledger.next() if free and self.ledger.queue else None
            if job is None:
                continue
            if run is None:
                run = self.runs[slot] = Run(Worker(slot, self.setup))
                self.last_start = time.monotonic()
            run.job, run.since = job, time.monotonic()
            run.worker.send((job.index, job.overrides, os.path.join(job.trial.folder, "log.txt")))

    def room(self, slot: Slot) -> bool:
        """Whether a worker may be started there now: not all at once, and not on a GPU that is full."""
        now, wanted = time.monotonic(), self.options.min_free_memory
        if now - self.last_start < self.options.stagger or now < self.waiting.get(slot, -NEVER):
            return False
        free = free_memory(slot.gpu) if slot.gpu is not None and wanted and self.ledger.queue else None
        if free is None or free >= wanted:
            return True
        if slot not in self.waiting:
            self.board.say(f"{slot} waits for memory: {free} MiB are free, hydra.launcher.min_free_memory={wanted}")
        self.waiting[slot] = now + 5.0
        return False

    # -- what becomes of them ---------------------------------------------------------------------------------------
    def listen(self) -> None:
        """Wait a moment for messages; then look for what sends none."""
        workers = [run.worker for run in self.runs.values()]
        connections = [w.connection for w in workers if not w.connection.closed and w.alive()]
        if connections:
            wait(connections, TICK)
        else:
            time.sleep(TICK)
        for slot, run in list(self.runs.items()):
            alive = run.worker.alive()  # before receiving: what it sent last is still there when it is dead
            while (message := run.worker.receive()) is not None:
                self.hear(run, message)
            if not alive:
                del self.runs[slot]
                self.bury(run)
            elif time.monotonic() > run.kill_at:
                run.worker.kill()
            elif run.job and not run.ending and time.monotonic() - run.since > (self.options.timeout or NEVER):
                self.end(run, f"it ran past hydra.launcher.timeout={self.options.timeout:g} seconds")

    def hear(self, run: Run, message: dict[str, Any]) -> None:
        """A worker is ready, or its trial has returned, raised or been stopped."""
        if message["kind"] == "ready":
            run.worker.ready, self.stillborn, run.since = True, 0, time.monotonic()
            return
        job, run.job = run.job, None
        assert job is not None
        if message["kind"] == "returned":
            self.ledger.returned(job, message["pickled"], time.monotonic() - run.since)
            return
        reason = run.ending or message["reason"]
        run.ending = run.ending or "failed"  # such a worker ends by itself
        run.kill_at = min(run.kill_at, time.monotonic() + self.options.grace)
        if message.get("memory") and message["accumulate"]:
            key, doubled = self.options.accumulate_key, 2 * int(message["accumulate"])
            job.overrides = [o for o in job.overrides if o.lstrip("+").partition("=")[0] != key] + [f"{key}={doubled}"]
            reason = f"{reason} (tried with {key}={message['accumulate']})"
        self.failed(job, reason, message.get("pickled"), bool(message.get("option")))

    def bury(self, run: Run) -> None:
        """A worker has died; if that was in the middle of a trial, the trial has failed."""
        words, death = run.worker.last_words(), run.worker.death()
        run.worker.close()  # and whatever it left behind
        if run.job is None:
            return
        unborn = not run.worker.ready and run.worker.process.returncode > 0 and not run.ending
        if unborn:
            self.stillborn += 1
            self.ledger.queue.append(run.job)
            if self.stillborn >= 2:
                raise RuntimeError(f"workers cannot start: {words or death}")
            return
        self.failed(run.job, run.ending or ": ".join([death, *words.splitlines()[-1:]]))

    def failed(self, job: Job, reason: str, blob: bytes | None = None, final: bool = False) -> None:
        """Hand a failure to the ledger, unless the trial did finish, or was stopped because everything stops."""
        if self.ledger.has_finished(job):
            self.ledger.found(job, "")
        elif not self.stopping:
            self.ledger.failed(job, reason, blob, final)

    # -- stopping ---------------------------------------------------------------------------------------------------
    @contextmanager
    def handlers(self) -> Iterator[None]:
        """Collect SIGINT and SIGTERM instead of dying of them (where this is the main thread)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, lambda n, _: self.signals.append(n)) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def end(self, run: Run, why: str) -> None:
        """Ask a worker to checkpoint and end; it is killed after the grace period."""
        run.ending, run.kill_at = why, time.monotonic() + self.options.grace
        run.worker.stop()

    def wind_down(self) -> None:
        """Stop what runs and let idle workers go; a second signal kills."""
        if any(run.job for run in self.runs.values()):
            self.board.say("stopping: running trials save their checkpoints; Ctrl-C again stops them at once")
        for run in self.runs.values():
            if run.job and not run.ending:
                self.end(run, "stopped")
            elif not run.job:
                run.ending, run.kill_at = "done", min(run.kill_at, time.monotonic() + self.options.grace)
                run.worker.dismiss()
        while self.runs:
            for run in self.runs.values() if len(self.signals) > 1 else ():
                run.kill_at = 0.0
            self.listen()
            self.board.refresh()

    def left(self) -> float | None:
        """Expected seconds until all is done."""
        jobs = [*(run.job for run in self.runs.values() if run.job), *self.ledger.queue]
        return self.ledger.estimate.total([(job.trial, remaining(job)) for job in jobs], len(self.slots))
