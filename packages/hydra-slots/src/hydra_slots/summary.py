"""A plan in words: how many trials, what is finished already, how long the rest will take."""

from collections import Counter
from enum import StrEnum

from hydra_slots.eta import Estimate, duration, remaining
from hydra_slots.protocol import finished, paused, read_result, started
from hydra_slots.sweep_plan import Job, SweepPlan


class TrialState(StrEnum):
    """What a sweep will do with a trial."""

    FINISHED = "finished"
    PAUSED = "paused"
    """It has got as far as the sweep wants it."""
    RESUME = "resume"
    RUN = "run"


def state_of(job: Job) -> TrialState:
    if job.protocol and finished(job.trial.folder):
        return TrialState.FINISHED
    if job.protocol and paused(job.trial.folder, job.trial.pause):
        return TrialState.PAUSED
    return TrialState.RESUME if job.protocol and started(job.trial.folder) else TrialState.RUN


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def summary(plan: SweepPlan, workers: int, every: bool) -> str:
    """The plan in words, with a line for each trial if `every`; `workers` is 0 where it is unknown."""
    states = {job.index: state_of(job) for job in plan.jobs}
    estimate = Estimate()
    for job in plan.jobs:
        if states[job.index] == TrialState.FINISHED:
            estimate.add(job.trial, read_result(job.trial.folder).get("seconds"))
    lines = [plan.title] if plan.title else []
    lines += [f"{sizes(plan)}: {work_left(plan, states, estimate, workers)}", *plan.notes]
    lines += dict.fromkeys(job.trial.data for job in plan.jobs if job.trial.data)
    if plan.duplicates:
        removed = counted(len(plan.duplicates), "duplicate")
        lines.append(f"Equivalent configurations run once: {removed} removed" + (":" if every else ""))
        lines += [f"  {label}  =  {first}" for label, first in plan.duplicates] if every else []
    for job in plan.jobs if every else ():
        lines += trial_lines(job, states[job.index], estimate)
    return "\n".join(lines)


def sizes(plan: SweepPlan) -> str:
    """`6 trials (3 groups × 2 seeds)`; without seeds where groups differ in size, and no groups of one trial each."""
    of_group = Counter(job.trial.group for job in plan.jobs)
    seeds = set(of_group.values())
    text = counted(len(plan.jobs), "trial")
    if seeds <= {1}:
        return text
    groups = counted(len(of_group), "group")
    return f"{text} ({groups} × {seeds.pop()} seeds)" if len(seeds) == 1 else f"{text} ({groups})"


def work_left(plan: SweepPlan, states: dict[int, TrialState], estimate: Estimate, workers: int) -> str:
    """`1 finished, 5 to run on 2 workers, about 90 s`."""
    count = Counter(states.values())
    ended = (TrialState.FINISHED, TrialState.PAUSED)
    unfinished = [(job.trial, remaining(job)) for job in plan.jobs if states[job.index] not in ended]
    parts = [f"{count[state]} {state}" for state in ended if count[state]]
    if not unfinished:
        return ", ".join(parts) if count[TrialState.PAUSED] else "all finished"
    parts += [f"{count[state]} to {state}" for state in (TrialState.RESUME, TrialState.RUN) if count[state]]
    text = ", ".join(parts) + (f" on {counted(workers, 'worker')}" if workers else "")
    seconds = estimate.total(unfinished, workers)
    return text if seconds is None else f"{text}, about {duration(seconds)}"


def trial_lines(job: Job, state: TrialState, estimate: Estimate) -> list[str]:
    """A trial's state, name, label and expected time, and its notes below."""
    expected = None if state in (TrialState.FINISHED, TrialState.PAUSED) else estimate.of(job.trial)
    time = "" if expected is None else f"  about {duration(expected * remaining(job))}"
    label = f"  [{job.label}]" if job.label != job.trial.name else ""
    return [f"  {state:8}  {job.trial.name}{label}{time}", *(f"            {note}" for note in job.trial.notes)]
