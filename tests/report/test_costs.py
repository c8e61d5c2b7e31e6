"""What a group costs: its training time at its usual speed."""

import json
from pathlib import Path

import pytest

from rdrop_exp.report.throughput import steady_throughput
from tests.report.trials import EARLY, NONE, RDROP, only, write, write_trial


def test_costs_and_gaps_of_the_example(example: Path) -> None:
    write(example, RDROP | {"alpha": 1.0}, [0.91, 0.92, 0.91], seconds=90.0)
    comparison = only(example)
    row = next(row for row in comparison.rows if row.label == "rdrop alpha=1")
    assert row.relative_cost == pytest.approx(1.5)
    assert row.speed.mean == pytest.approx(128000 / 90)
    assert row.train_loss.mean == pytest.approx((1 - 2.74 / 3) / 2)
    # Train accuracy is (1 + val) / 2 in these trials: the gap to a test accuracy equal to val is (1 − val) / 2.
    assert row.gap.mean == pytest.approx(100 * (1 - 2.74 / 3) / 2)


def test_costs_are_without_warm_up(tmp_path: Path) -> None:
    """The first group of a sweep warms up, and one of its rows has a hiccup: equal work costs the same."""
    for regularizer, slow in ((NONE, 1), (EARLY, 10)):
        folder = write_trial(tmp_path, regularizer, 0, result={"steps": 100, "seconds": 60.0 * slow, "device": "cpu"})
        speeds = [1000 / slow, 1000, 1000 / slow, *[1000] * 6]
        rows = [{"step": 10 * i, "epoch": i, "images_per_second": speed} for i, speed in enumerate(speeds, 1)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    comparison = only(tmp_path)
    assert [row.relative_cost for row in comparison.rows] == [pytest.approx(1.0)] * 2
    assert [row.training_seconds.mean for row in comparison.rows] == [pytest.approx(100 * 128 / 1000)] * 2
    assert sorted(row.seconds.mean or 0 for row in comparison.rows) == [60.0, 600.0]


@pytest.mark.parametrize("count", [9, 300])
def test_a_schedule_that_changes_the_speed_counts_in_full(tmp_path: Path, count: int) -> None:
    folder = write_trial(tmp_path, RDROP, 0)
    rows = [{"images_per_second": 500.0 if i <= 1 + (count - 1) * 2 // 3 else 1000.0} for i in range(1, count + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # Two thirds of the images at 500 and one third at 1,000 a second: 600 on the whole.
    assert steady_throughput(str(folder)) == pytest.approx(600, rel=0.1)


def test_a_different_device_is_said(example: Path) -> None:
    write_trial(example, NONE, 7, result={"device": "NVIDIA H200"})
    assert any("(NVIDIA H200, cpu)" in note for note in only(example).notes)
