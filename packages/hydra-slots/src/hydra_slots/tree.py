"""What trials share: those that are the same up to some step are a tree, whose trunk is trained once.

A trial may come with segments: (the step before which a run of equal steps ends, a key of all that decides them). Two
trials are the same for as long as their segments agree. Where they part there is a fork: a file that the first trial to
get there leaves behind and from which the others start. It is named by its step and by a key of all before it, so that
it does not matter whose it is; `.forks/wanted.json` in the experiment's folder says which are wanted, and by whom. A
trial without its fork starts from an earlier one, or at step 0.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra_slots.protocol import as_number, atomic_file, finished, last_row, paused
from hydra_slots.sweep_plan import Job

FOLDER, WANTED = ".forks", "wanted.json"
LEAST = 0.02
"""Share of a trial for which a fork pays."""
Segments = Sequence[tuple[int, str]]


def common_steps(a: Segments, b: Segments) -> int:
    """How many steps two trials share."""
    steps = 0
    for (end_a, key_a), (end_b, key_b) in zip(a, b, strict=False):
        if key_a != key_b:
            break
        steps = min(end_a, end_b)
        if end_a != end_b:
            break
    return steps


def before_the_end(a: Segments, b: Segments) -> int:
    """As many of these as leave something to do for both."""
    return min(common_steps(a, b), a[-1][0] - 1, b[-1][0] - 1)


def key_at(segments: Segments, step: int) -> str:
    """Equal for two trials that share their first `step` steps, which must not be more than they have."""
    before = [(end, key) for end, key in segments if end < step]
    runs = [*before, (step, segments[len(before)][1])]
    return hashlib.sha256(json.dumps(runs).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Fork:
    """A state that several trials pass through."""

    step: int
    path: Path

    def exists(self) -> bool:
        return self.path.is_file()


class Tree:
    """The forks of a sweep's trials, and how many steps they save if trunks run first."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.forks: dict[int, list[Fork]] = {job.index: [] for job in jobs}
        """By job, in the order of steps."""
        self.users: dict[Fork, list[Job]] = defaultdict(list)
        self.saved = self.steps = 0
        self.folders = {Path(job.trial.folder).parent / FOLDER for job in jobs if job.protocol}
        alike: dict[tuple[str, str], list[Job]] = defaultdict(list)
        for job in jobs:
            if job.trial.segments and job.protocol:
                alike[os.path.dirname(job.trial.folder), job.trial.segments[0][1]].append(job)
        for (folder, _), members in alike.items():
            self._grow(Path(folder) / FOLDER, members)

    def _grow(self, folder: Path, jobs: list[Job]) -> None:
        """The forks of trials that begin alike. Those that have begun can leave forks, but start from none."""
        done = {job.index: steps_done(job) for job in jobs}
        found: set[Fork] = set()
        jobs = sorted(jobs, key=lambda job: -done[job.index])
        for i, job in enumerate(jobs):
            segments, end = job.trial.segments, job.trial.segments[-1][0]
            if done[job.index] < end:
                self.steps += end
            shared = {other.index: before_the_end(segments, other.trial.segments) for other in jobs[:i]}
            points = [step for step in {*shared.values()} if step and step >= LEAST * end]
            forks = [Fork(step, folder / f"{step}-{key_at(segments, step)}.pt") for step in points]
            found.update(forks)
            if not done[job.index]:
                left = [s for index, s in shared.items() if done[index] < s and s in points]
                self.saved += max([*left, *(fork.step for fork in forks if fork.exists())], default=0)
        for fork in found:
            users = [job for job in jobs if passes(job, fork)]
            waiting = [job for job in users if not done[job.index]]
            if not waiting or not (fork.exists() or len({j.index for j in users if done[j.index] < fork.step}) > 1):
                continue
            self.users[fork] = users
            for job in users:
                self.forks[job.index] = sorted([*self.forks[job.index], fork], key=lambda fork: fork.step)

    def sentence(self) -> str:
        """For the plan; empty where nothing is shared."""
        if not self.saved:
            return ""
        files = f"{len(self.users)} fork file{'s' if len(self.users) > 1 else ''}"
        return f"{100 * self.saved / self.steps:.0f} % of the steps to run are shared and trained once ({files})"

    def write(self) -> None:
        """Say which forks are wanted; whatever an earlier sweep left there and nobody wants now goes."""
        wanted: dict[Path, dict[str, list[str]]] = {folder: {} for folder in self.folders}
        for fork, users in self.users.items():
            wanted[fork.path.parent][fork.path.name] = [os.path.basename(job.trial.folder) for job in users]
        for folder, forks in wanted.items():
            if not forks:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            with contextlib.suppress(OSError):  # without them, all that is lost is time
                folder.mkdir(parents=True, exist_ok=True)
                for path in folder.iterdir():
                    if path.name.partition(".pt")[0] + ".pt" not in forks:
                        path.unlink()
                with atomic_file(folder / WANTED) as file:
                    json.dump(forks, file, indent=1)

    def remove(self) -> None:
        """No trial waits any more."""
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)

    # -- which trial is next ----------------------------------------------------------------------------------------
    def lost(self, job: Job, running: Collection[Job]) -> int:
        """Steps that this trial would repeat if it started now, and not when those that run have left their forks."""
        forks = self.forks.get(job.index, [])
        if not forks or steps_done(job):
            return 0
        ready = self.ready(job)
        coming = [fork.step for fork in forks if fork.step > ready and any(will_leave(j, fork) for j in running)]
        return max(coming, default=ready) - ready

    def ready(self, job: Job) -> int:
        """The latest step that it can start from now."""
        return max((fork.step for fork in self.forks.get(job.index, []) if fork.exists()), default=0)

    def spared(self, job: Job) -> float:
        """Share of the trial that it need not train; 0 for one that has begun."""
        return 0.0 if not self.forks.get(job.index) or steps_done(job) else self.ready(job) / job.trial.segments[-1][0]

    def leads(self, job: Job, waiting: Collection[Job]) -> int:
        """Steps that others which wait would be spared after this trial."""
        indices = {other.index for other in waiting} - {job.index}
        forks = [fork for fork in self.forks.get(job.index, []) if not fork.exists()]
        return sum(fork.step * sum(user.index in indices for user in self.users[fork]) for fork in forks)


def steps_done(job: Job) -> int:
    """Steps that the trial has behind it; all where it has ended, and none where it would start again."""
    if finished(job.trial.folder) or paused(job.trial.folder, job.trial.pause):
        return job.trial.segments[-1][0]
    return last_step(job) if os.path.exists(os.path.join(job.trial.folder, "checkpoint.pt")) else 0


def last_step(job: Job) -> int:
    return int(as_number(last_row(job.trial.folder).get("step")) or 0)


def passes(job: Job, fork: Fork) -> bool:
    """Whether the fork is on the trial's way."""
    segments = job.trial.segments
    return segments[-1][0] > fork.step and fork.path.name == f"{fork.step}-{key_at(segments, fork.step)}.pt"


def will_leave(job: Job, fork: Fork) -> bool:
    """Whether a trial that runs is on its way there."""
    return bool(job.trial.segments) and passes(job, fork) and last_step(job) <= fork.step
