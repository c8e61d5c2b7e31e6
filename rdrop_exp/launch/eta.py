"""How far a plan is and how long it will take: from what its trials left so far."""

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from rdrop_exp.launch import Trial
from rdrop_exp.launch.plan import Job, Plan
from rdrop_exp.launch.protocol import last_row, read_result, started


class Estimate:
    """Seconds that a trial will take, from those that were timed: of its group, or else in proportion to its work."""

    def __init__(self) -> None:
        self.groups: dict[str, list[float]] = defaultdict(list)
        self.seconds = self.work = 0.0

    def add(self, trial: Trial, seconds: Any) -> None:
        if isinstance(seconds, int | float) and seconds >= 0:
            self.groups[trial.group].append(seconds)
            self.seconds += seconds
            self.work += trial.work

    def of(self, trial: Trial) -> float | None:
        """Expected seconds from the start; None while nothing was timed."""
        timed = self.groups.get(trial.group)
        if timed:
            return sum(timed) / len(timed)
        return trial.work * self.seconds / self.work if self.work > 0 else None

    def total(self, trials: Iterable[tuple[Trial, float]], slots: int) -> float | None:
        """Seconds until all of these are done, each with the share still to do, longest first; None: not known."""
        expected = [(self.of(trial), share) for trial, share in trials]
        if any(seconds is None for seconds, _ in expected):
            return None
        busy = [0.0] * max(slots, 1)
        for seconds in sorted((s * share for s, share in expected if s is not None), reverse=True):
            heapq.heappush(busy, heapq.heappop(busy) + seconds)
        return max(busy)


def state_of(job: Job) -> str:
    """finished, resume, or run."""
    if job.protocol and read_result(job.trial.folder).get("status") == "finished":
        return "finished"
    return "resume" if job.protocol and started(job.trial.folder) else "run"


def remaining(job: Job) -> float:
    """Share of the trial's work that is still to do."""
    done = last_row(job.trial.folder).get("progress", 0.0) if job.protocol else 0.0
    return 1.0 - min(max(float(done), 0.0), 1.0) if isinstance(done, int | float) else 1.0


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def counted(things: Collection[Any], name: str) -> str:
    return f"{len(things)} {name}" + ("" if len(things) == 1 else "s")


def summary(plan: Plan, slots: int, every: bool) -> str:
    """The plan in words; with a line for each trial where `every`."""
    states = {job.index: state_of(job) for job in plan.jobs}
    estimate = Estimate()
    for job in plan.jobs:
        if states[job.index] == "finished":
            estimate.add(job.trial, read_result(job.trial.folder).get("seconds"))
    todo = [(job.trial, remaining(job)) for job in plan.jobs if states[job.index] != "finished"]
    count = list(states.values()).count
    seconds = estimate.total(todo, slots)
    groups = {job.trial.group for job in plan.jobs}
    parts = [f"{counted(plan.jobs, 'trial')} in {counted(groups, 'group')}", f"{count('finished')} finished"]
    parts += [f"{count('resume')} to resume", f"{count('run')} to run"]
    parts += [counted(range(slots), "slot")] if slots else []
    parts += [] if seconds is None or not todo else [f"about {duration(seconds)}"]
    lines = [plan.title] if plan.title else []
    lines += [", ".join(parts), *plan.dropped]
    if plan.duplicates:
        lines.append(f"{counted(plan.duplicates, 'duplicate')} removed" + (":" if every else ""))
        lines += [f"  {label}  is  {stands}" for label, stands in plan.duplicates] if every else []
    for job in plan.jobs if every else ():
        expected = estimate.of(job.trial)
        if expected is None or states[job.index] == "finished":
            time = ""
        else:
            time = f"  about {duration(expected * remaining(job))}"
        label = f"  [{job.label}]" if job.label != job.trial.name else ""
        lines.append(f"  {states[job.index]:8}  {job.trial.name}{label}{time}")
        lines += [f"            {note}" for note in job.trial.notes]
    return "\n".join(lines)
