"""How long trials will take: from the trials that were timed, and how far each one is."""

import heapq
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from hydra_slots.protocol import as_number, last_row
from hydra_slots.sweep_plan import Job, PlannedTrial


class Estimate:
    """Expected seconds of a trial: the mean of its group, or else in proportion to its work."""

    def __init__(self) -> None:
        self.groups: dict[str, list[float]] = defaultdict(list)
        self.seconds = self.work = 0.0

    def add(self, trial: PlannedTrial, seconds: Any) -> None:
        number = as_number(seconds)
        if number is not None and number >= 0:
            self.groups[trial.group].append(number)
            self.seconds += number
            self.work += trial.work

    def of(self, trial: PlannedTrial) -> float | None:
        """Expected seconds from the start; None while nothing was timed."""
        timed = self.groups.get(trial.group)
        if timed:
            return sum(timed) / len(timed)
        return trial.work * self.seconds / self.work if self.work > 0 else None

    def total(self, trials: Iterable[tuple[PlannedTrial, float]], workers: int) -> float | None:
        """Seconds until all of these are done, each with its remaining share, longest first; None: unknown."""
        expected = [(self.of(trial), share) for trial, share in trials]
        if any(seconds is None for seconds, _ in expected):
            return None
        busy = [0.0] * max(workers, 1)
        for seconds in sorted((s * share for s, share in expected if s is not None), reverse=True):
            heapq.heappush(busy, heapq.heappop(busy) + seconds)
        return max(busy)


def remaining(job: Job) -> float:
    """Share of the trial's work that is still to do, up to its pause where a first row says how long an epoch is."""
    row = last_row(job.trial.folder) if job.protocol else {}
    done, epoch = (as_number(row.get(key)) or 0.0 for key in ("progress", "epoch"))
    end = job.trial.pause * done / epoch if job.trial.pause is not None and epoch > 0 else 1.0
    return max(0.0, min(end, 1.0) - max(done, 0.0))


def duration(seconds: float) -> str:
    """`8.2 s`, `45 s`, `12 min`, `1 h 30 min`."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
