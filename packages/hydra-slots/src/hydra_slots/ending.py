"""The end of a sweep, whichever launcher ran it: the list of failures, then the application's summary or a ranking."""

import os
import sys
from collections.abc import Callable, Sequence

from hydra.core.utils import JobReturn, JobStatus

from hydra_slots.display import Display
from hydra_slots.events import EventKind, TrialEvent
from hydra_slots.hydra_private import returned_or_raised
from hydra_slots.output import say
from hydra_slots.protocol import finished, paused, read_result
from hydra_slots.queue import TrialFailed
from hydra_slots.sweep_plan import Job


def show_end(
    jobs: Sequence[Job],
    results: Sequence[JobReturn],
    summary: Callable[[list[str]], None] | None = None,
    metric: str | None = None,
    lower_is_better: bool | None = None,
) -> None:
    """List the failures, and hand the trials' folders to `summary`; without one, print the ranking of the groups."""
    pairs = list(zip(jobs, results, strict=False))
    for job, result in pairs:
        if result.status == JobStatus.FAILED:
            say(f"failed: {job.trial.name}: {reason_of(result)}{log_of(job)}")
    if summary is None:
        display = Display(jobs, metric, lower_is_better)
        for job, result in pairs:
            if finished(job.trial.folder) if job.protocol else result.status == JobStatus.COMPLETED:
                known = read_result(job.trial.folder) if job.protocol else {"value": result.return_value}
                display.show_event(TrialEvent(EventKind.FINISHED_EARLIER, job, result=known))
        display.print_ranking()
    elif folders := [job.trial.folder for job in jobs if os.path.isdir(job.trial.folder)]:
        try:
            summary(folders)
        except OSError as error:  # the trials are safe all the same
            say(f"Warning: the summary could not be written: {error}")


def exit_code(jobs: Sequence[Job], results: Sequence[JobReturn]) -> int:
    """0 if every trial has finished or paused, else 1 after a count on stderr."""
    failed = sum(result.status == JobStatus.FAILED for result in results)
    ended = sum(
        result.status == JobStatus.COMPLETED and (not job.protocol or has_ended(job))
        for job, result in zip(jobs, results, strict=False)
    )
    left = len(jobs) - failed - ended
    words = [f"{failed} of {len(jobs)} trials failed"] if failed else []
    words += [f"{left} did not finish" if failed else f"{left} of {len(jobs)} trials did not finish"] if left else []
    if words:
        say(", ".join(words), sys.stderr)
    return 1 if words else 0


def has_ended(job: Job) -> bool:
    return finished(job.trial.folder) or paused(job.trial.folder, job.trial.pause)


def reason_of(result: JobReturn) -> str:
    """Why a job failed: the sentence of a mistaken option or of the launcher, or else the error with its type."""
    error = returned_or_raised(result)
    own = isinstance(error, TrialFailed) or getattr(error, "option_error", False)
    return str(error) if own else f"{type(error).__name__}: {error}"


def log_of(job: Job) -> str:
    """Where the trial's output is, as a second line; empty where its launcher keeps none."""
    path = os.path.join(job.trial.folder, "log.txt")
    return f"\n  log: {path}" if os.path.exists(path) else ""
