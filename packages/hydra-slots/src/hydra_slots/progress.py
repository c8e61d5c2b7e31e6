"""What a sweep shows while a launcher runs it that shows nothing itself: a line for each trial that finishes."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra_slots.display import Display
from hydra_slots.events import EventKind
from hydra_slots.queue import TrialQueue
from hydra_slots.sweep_plan import Job

INTERVAL = 1.0  # seconds between looks at the trials' files; more where a look takes longer than a twentieth of that


class Progress:
    """Notes from their files which trials have ended."""

    def __init__(self, jobs: Sequence[Job], display: Display) -> None:
        self.queue, self.display = TrialQueue(list(jobs), retries=0), display
        self.show()

    def look(self) -> None:
        """Report the trials that have finished, or paused, since the last look."""
        left = []
        for job in self.queue.waiting:
            if self.queue.has_finished(job):
                self.queue.finished_unreported(job, EventKind.FINISHED)
            elif self.queue.has_paused(job):
                self.queue.paused(job, EventKind.PAUSED)
            else:
                left.append(job)
        self.queue.waiting = left
        self.show()

    def show(self) -> None:
        for event in self.queue.take_events():
            self.display.show_event(event)


@contextmanager
def shown(jobs: Sequence[Job]) -> Iterator[None]:
    """Report trials as they finish, from a thread, while the block runs them."""
    progress, ended = Progress(jobs, Display(jobs)), threading.Event()

    def watch() -> None:
        took = 0.0
        while not ended.wait(max(INTERVAL, 20 * took)):
            start = time.monotonic()
            progress.look()
            took = time.monotonic() - start

    thread = threading.Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        progress.look()
