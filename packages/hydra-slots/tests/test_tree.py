"""Trees of trials that share their first steps."""

import itertools
import json
import random
from pathlib import Path

import pytest

from hydra_slots import PlannedTrial
from hydra_slots.queue import TrialQueue
from hydra_slots.sweep_plan import Job
from hydra_slots.tree import FOLDER, WANTED, Tree, common_steps, key_at

Steps = tuple[str, ...]


def encoded(steps: Steps) -> list[tuple[int, str]]:
    runs, end = [], 0
    for key, run in itertools.groupby(steps):
        end += len(list(run))
        runs.append((end, key))
    return runs


def common(a: Steps, b: Steps) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def job(folder: Path, index: int, steps: Steps, work: float = 1.0) -> Job:
    trial = PlannedTrial(str(index), str(folder / f"t{index}"), f"t{index}", "g", work, segments=encoded(steps))
    return Job(index, [], "", trial)


def jobs_of(folder: Path, *steps: str) -> list[Job]:
    return [job(folder, i, tuple(s)) for i, s in enumerate(steps)]


def finish(job: Job) -> None:
    Path(job.trial.folder).mkdir(parents=True, exist_ok=True)
    (Path(job.trial.folder) / "result.json").write_text('{"status": "finished"}')


def progress(job: Job, step: int) -> None:
    Path(job.trial.folder).mkdir(parents=True, exist_ok=True)
    (Path(job.trial.folder) / "checkpoint.pt").touch()
    (Path(job.trial.folder) / "metrics.jsonl").write_text(json.dumps({"step": step}) + "\n")


@pytest.mark.parametrize("seed", range(20))
def test_forks_and_savings_are_those_of_training_one_trial_after_the_other(tmp_path, seed):
    draw = random.Random(seed)
    steps = [tuple(itertools.chain(*(draw.choice("ab") * draw.randint(1, 3) for _ in range(5)))) for _ in range(12)]
    jobs = [job(tmp_path, i, s) for i, s in enumerate(steps)]
    for a, b in itertools.combinations(range(len(jobs)), 2):
        x, y = jobs[a].trial.segments, jobs[b].trial.segments
        shared = common(steps[a], steps[b])
        assert common_steps(x, y) == shared
        for step in range(1, min(len(steps[a]), len(steps[b])) + 1):
            assert (key_at(x, step) == key_at(y, step)) == (step <= shared)
    tree = Tree(jobs)
    trained: set[Steps] = set()  # every prefix that some trial has trained, but for whole trials
    saved = 0
    for s in steps:
        before = [s[:i] for i in range(1, len(s))]
        saved += sum(prefix in trained for prefix in before)
        trained.update(before)
    assert (tree.saved, tree.steps) == (saved, sum(map(len, steps)))
    for fork, users in tree.users.items():
        prefixes = {steps[user.index][: fork.step] for user in users}
        assert len(prefixes) == 1
        assert [u.index for u in users] == [
            i for i, s in enumerate(steps) if s[: fork.step] in prefixes and fork.step < len(s)
        ]


def test_a_plan_without_segments_or_with_nothing_in_common_has_no_forks(tmp_path):
    (tmp_path / FOLDER).mkdir()
    for jobs in (jobs_of(tmp_path, "", "", ""), jobs_of(tmp_path, "ab", "ba")):
        tree = Tree(jobs)
        assert not tree.sentence()
        assert tree.lost(jobs[0], jobs) == tree.leads(jobs[0], jobs) == 0
        tree.write()
        assert not list(tmp_path.iterdir())  # what an earlier sweep left has gone


def test_what_is_wanted_is_written_and_the_rest_goes(tmp_path):
    jobs = jobs_of(tmp_path, "aaaa", "aabb", "aabc")
    tree = Tree(jobs)
    assert tree.sentence().startswith("42 % of the steps")
    tree.write()
    wanted = json.loads((tmp_path / FOLDER / WANTED).read_text())
    assert {name.partition("-")[0]: users for name, users in wanted.items()} == {
        "2": ["t0", "t1", "t2"],
        "3": ["t1", "t2"],
    }
    (tmp_path / FOLDER / "7-0123.pt").write_text("stale")
    kept = next(fork.path for fork in tree.users if fork.step == 2)
    kept.write_text("a state")
    tree.write()
    assert {path.name for path in (tmp_path / FOLDER).iterdir()} == {WANTED, kept.name}
    tree.remove()
    assert not list(tmp_path.iterdir())


def test_a_fork_is_wanted_only_where_someone_can_leave_it_or_has_left_it(tmp_path):
    jobs = jobs_of(tmp_path, "aaaa", "aabb")
    finish(jobs[0])
    assert not Tree(jobs).users  # nobody would leave it
    path = tmp_path / FOLDER / f"2-{key_at(jobs[1].trial.segments, 2)}.pt"
    path.parent.mkdir()
    path.write_text("left before the sweep was stopped")
    tree = Tree(jobs)
    assert [fork.path for fork in tree.users] == [path]
    assert (tree.saved, tree.steps) == (2, 4)
    path.unlink()
    (tmp_path / "t0" / "result.json").unlink()
    progress(jobs[0], 3)
    assert not Tree(jobs).users
    (tmp_path / "t0" / "checkpoint.pt").unlink()  # it has rows, but would start again
    assert Tree(jobs).saved == 2
    progress(jobs[0], 1)
    assert Tree(jobs).saved == 2


def test_a_trial_waits_for_its_trunk_only_while_there_is_other_work(tmp_path):
    jobs = jobs_of(tmp_path, "aaaaaa", "aaaabb", "aaaabc", "xxxxxx", "xxxxyy")
    tree = Tree(jobs)
    queue = TrialQueue(jobs, 0)
    first, second = queue.next(), queue.next()
    assert first in jobs[1:3]  # leads two others the furthest
    assert second in jobs[3:]
    third = queue.next()  # a slot is free and everything waits: the least is repeated
    assert third in (jobs[0], *jobs[3:])
    next(fork for fork in tree.users if fork.step == 5).path.parent.mkdir()
    for fork in tree.users:
        if "a" in str(jobs[tree.users[fork][0].index].trial.segments):
            fork.path.write_text("")
    assert queue.remaining(next(job for job in queue.waiting if job in jobs[:3])) < 0.4
    fourth = queue.next()
    assert fourth in jobs[:3]  # ready now
    assert not tree.lost(fourth, [first])


def test_a_trunk_that_has_passed_or_failed_is_not_waited_for(tmp_path):
    jobs = jobs_of(tmp_path, "aaaa", "aabb")
    tree = Tree(jobs)
    assert tree.lost(jobs[1], [jobs[0]]) == 2
    assert tree.lost(jobs[1], []) == 0
    progress(jobs[0], 3)
    assert tree.lost(jobs[1], [jobs[0]]) == 0
