"""What the runner hands to the display."""

import io
import json
import time
from typing import Any

import pytest

from hydra_slots import PlannedTrial
from hydra_slots.devices import Slot
from hydra_slots.options import SlotsConf
from hydra_slots.pool import Assignment
from hydra_slots.runner import Runner
from hydra_slots.sweep_plan import Job, SweepPlan


class Idle:
    """Stands in for a worker."""

    ready = True

    def memory(self):
        return 123


@pytest.fixture
def runner(tmp_path):
    """Three trials of which one has run for ten seconds, on two workers."""
    jobs = [Job(i, [], "", PlannedTrial(str(i), str(tmp_path / str(i)), f"trial-{i}", "g")) for i in range(3)]
    runner = Runner(SweepPlan(jobs), [Slot(0, None, 1), Slot(1, "3", 1)], SlotsConf(), io.BytesIO())
    (tmp_path / "0").mkdir()
    idle: Any = Idle()
    runner.pool.assignments = {runner.pool.slots[1]: Assignment(idle, runner.next_job(), time.monotonic() - 10)}
    return runner


def write(tmp_path, name, text):
    (tmp_path / "0" / name).write_text(text)


def test_before_the_first_row_the_display_shows_what_the_trial_does(runner, tmp_path):
    (row,) = runner.snapshot().workers
    assert (row.worker, row.trial, row.stage, row.metrics, row.memory) == (
        "worker 1 (GPU 3)",
        "trial-0",
        "starting",
        {},
        123,
    )
    assert row.seconds == pytest.approx(10, abs=2)
    write(tmp_path, "log.txt", "reading 400 images\n# 2026-11-25 10:00:00 host pid 7: x=1\n")
    assert runner.snapshot().workers[0].stage == "starting"  # that line was another attempt's
    write(tmp_path, "log.txt", "# 2026-11-25 10:00:00 host pid 7: x=1\ntrial-0: reading 4,000 images\n")
    assert runner.snapshot().workers[0].stage == "reading 4,000 images"


def test_a_sweep_that_never_ran_is_estimated_from_the_first_progress(runner, tmp_path):
    assert runner.snapshot().seconds_left is None
    write(tmp_path, "metrics.jsonl", json.dumps({"progress": 0.25}) + "\n")  # 10 s for a quarter: 40 s a trial
    snapshot = runner.snapshot()
    assert snapshot.workers[0].metrics == {"progress": 0.25}
    assert snapshot.seconds_left == pytest.approx(70, abs=8)  # 40 and 30 s on one worker, 40 s on the other
    runner.queue.estimate.add(runner.queue.jobs[1].trial, 4.0)
    assert runner.snapshot().seconds_left == pytest.approx(7)


def test_a_resumed_trial_counts_from_where_it_was(runner, tmp_path):
    write(tmp_path, "metrics.jsonl", json.dumps({"progress": 0.6}) + "\n")
    runner.share_at_start[0] = 0.5
    assert runner.extrapolate().of(runner.queue.jobs[0].trial) == pytest.approx(100, abs=20)
