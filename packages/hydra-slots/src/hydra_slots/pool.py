"""Workers on slots: gives them trials, waits for what becomes of these, and stops without losing work."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import IO, Any

from hydra_slots.devices import Slot, free_memory
from hydra_slots.options import SlotsConf
from hydra_slots.process import Worker
from hydra_slots.sweep_plan import Job
from hydra_slots.team import Team
from hydra_slots.worker import MessageKind

TICK = 0.2  # seconds between checks for what sends no message: deaths, time-outs, other runners
NEVER = float("inf")


@dataclass(slots=True)
class Assignment:
    """One slot's worker and the trial that it runs."""

    worker: Worker
    job: Job | None = None
    since: float = 0.0
    ending: str = ""
    """Why the worker is about to end; empty: it is not."""
    kill_at: float = NEVER


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt at a trial ended: as its worker says, or DIED, or NOT_STARTED where the worker never was ready."""

    kind: MessageKind
    job: Job
    reason: str = ""
    pickled: bytes | None = None
    """The job's return."""
    seconds: float = 0.0
    final: bool = False
    """Whether a retry is pointless."""


class Pool:
    """Runs trials on slots, a worker process each."""

    def __init__(self, slots: list[Slot], options: SlotsConf, setup: IO[bytes], say: Callable[[str], None]) -> None:
        """`say` shows a line to the user."""
        self.slots, self.options, self.setup, self.say = slots, options, setup, say
        self.assignments: dict[Slot, Assignment] = {}
        self.check_memory_at: dict[Slot, float] = {}
        self.last_start = -NEVER
        self.failed_starts = 0

    @property
    def running(self) -> list[Assignment]:
        return [assignment for assignment in self.assignments.values() if assignment.job]

    # -- giving trials to slots -------------------------------------------------------------------------------------
    def assign(self, waiting: Callable[[], bool], next_job: Callable[[], Job | None]) -> None:
        """Give each free slot a trial, while some are waiting."""
        for slot in self.slots:
            if not waiting():
                return
            current = self.assignments.get(slot)
            free = self.may_start(slot) if current is None else not (current.job or current.ending)
            job = next_job() if free else None
            if job is None:
                continue
            if current is None:
                current = self.assignments[slot] = Assignment((Worker if slot.ranks == 1 else Team)(slot, self.setup))
                self.last_start = time.monotonic()
            current.job, current.since = job, time.monotonic()
            current.worker.send((job.index, job.overrides, os.path.join(job.trial.folder, "log.txt")))

    def may_start(self, slot: Slot) -> bool:
        """Whether a worker may be started there now: not all at once, and not on a GPU without memory."""
        now, wanted = time.monotonic(), self.options.min_free_memory
        if now - self.last_start < self.options.stagger or now < self.check_memory_at.get(slot, -NEVER):
            return False
        free = free_memory(slot.gpu) if slot.gpu is not None and wanted else None
        if free is None or free >= wanted:
            return True
        if slot not in self.check_memory_at:
            self.say(f"{slot} is waiting for memory: {free} MiB free, hydra.launcher.min_free_memory={wanted}")
        self.check_memory_at[slot] = now + 5.0
        return False

    # -- what becomes of them ---------------------------------------------------------------------------------------
    def listen(self) -> list[AttemptResult]:
        """Wait a moment for messages, check what sends none, and return how attempts have ended."""
        workers = [assignment.worker for assignment in self.assignments.values()]
        connections = [w.connection for w in workers if not w.connection.closed and w.alive()]
        if connections:
            wait(connections, TICK)
        else:
            time.sleep(TICK)
        results: list[AttemptResult | None] = []
        for slot, assignment in list(self.assignments.items()):
            worker, timeout = assignment.worker, self.options.timeout or NEVER
            alive = worker.alive()  # before receiving: a dead worker's last message can still be read
            while (message := worker.receive()) is not None:
                results.append(self.handle_message(assignment, message))
            if not alive:
                del self.assignments[slot]
                results.append(self.handle_exit(assignment))
            elif time.monotonic() > assignment.kill_at:
                worker.kill()
            elif assignment.job and not assignment.ending and time.monotonic() - assignment.since > timeout:
                self.end(assignment, f"timed out after hydra.launcher.timeout={timeout:g} seconds")
        return [result for result in results if result is not None]

    def handle_message(self, assignment: Assignment, message: dict[str, Any]) -> AttemptResult | None:
        """A worker is ready, or its trial has returned, raised or been stopped."""
        if message["kind"] == MessageKind.READY:
            assignment.worker.ready, self.failed_starts, assignment.since = True, 0, time.monotonic()
            return None
        job, assignment.job = assignment.job, None
        assert job is not None
        if message["kind"] == MessageKind.RETURNED:
            seconds = time.monotonic() - assignment.since
            return AttemptResult(message["kind"], job, pickled=message["pickled"], seconds=seconds)
        reason = assignment.ending or message["reason"]
        assignment.ending = assignment.ending or "failed"  # such a worker ends by itself
        assignment.kill_at = min(assignment.kill_at, time.monotonic() + self.options.grace)
        if message.get("memory") and message.get("accumulate"):
            key, doubled = self.options.accumulate_key, 2 * int(message["accumulate"])
            job.overrides = [o for o in job.overrides if o.lstrip("+").partition("=")[0] != key] + [f"{key}={doubled}"]
            reason = f"{reason} (with {key}={message['accumulate']})"
        return AttemptResult(message["kind"], job, reason, message.get("pickled"), final=bool(message.get("option")))

    def handle_exit(self, assignment: Assignment) -> AttemptResult | None:
        """A worker has ended; if that was in the middle of a trial, the attempt has failed."""
        worker, job = assignment.worker, assignment.job
        printed, cause = worker.printed(), worker.cause_of_exit()
        worker.close()  # and whatever it left behind
        if job is None:
            return None
        if not worker.ready and worker.process.returncode > 0 and not assignment.ending:
            self.failed_starts += 1
            if self.failed_starts >= 2:
                raise RuntimeError(f"workers cannot start: {printed or cause}")
            return AttemptResult(MessageKind.NOT_STARTED, job)
        reason = assignment.ending or ": ".join([cause, *printed.splitlines()[-1:]])
        return AttemptResult(MessageKind.DIED, job, reason)

    # -- stopping ---------------------------------------------------------------------------------------------------
    def end(self, assignment: Assignment, why: str) -> None:
        """Ask a worker to checkpoint and end; it is killed after the grace period."""
        assignment.ending, assignment.kill_at = why, time.monotonic() + self.options.grace
        assignment.worker.stop()

    def end_all(self) -> None:
        """Stop running trials with a checkpoint, and let idle workers go."""
        for assignment in self.assignments.values():
            if assignment.job and not assignment.ending:
                self.end(assignment, "stopped")
            elif not assignment.job:
                deadline = time.monotonic() + self.options.grace
                assignment.ending, assignment.kill_at = "done", min(assignment.kill_at, deadline)
                assignment.worker.dismiss()

    def kill_all(self) -> None:
        """Kill every worker at the next `listen`."""
        for assignment in self.assignments.values():
            assignment.kill_at = 0.0

    def close(self) -> None:
        for assignment in self.assignments.values():
            assignment.worker.close()
