"""Intervals for new seeds and new test items, where the trials have kept their items."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from rdrop_exp.report import items
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.comparison import Comparison
from rdrop_exp.report.conclusion import sentences
from rdrop_exp.report.export import record
from rdrop_exp.runs.folder import write_items
from rdrop_exp.statistics.items import item_reach
from tests.report.trials import NONE, RDROP, only, write_trial

IMAGES = 400


def write_with_items(root: Path, seeds: int = 4, splits: int = 1) -> np.ndarray:
    """Trials whose accuracy is that of their items; returns the paired differences (seeds, items) in points."""
    rng = np.random.default_rng(0)
    some = np.arange(IMAGES) % 2 == 0  # images on which R-Drop helps; on the others it harms
    chances = {"none": np.where(some, 0.2, 0.9), "rdrop": np.where(some, 0.9, 0.7)}
    differences = []
    for split in range(splits):
        for seed in range(seeds):
            right = {name: rng.random(IMAGES) < chance for name, chance in chances.items()}
            for regularizer in (NONE, RDROP):
                correct = right[str(regularizer["name"])]
                accuracy = float(correct.mean())
                folder = write_trial(root, regularizer, seed, accuracy, val=0.9, dataset={"split_seed": split})
                write_items(folder, {"test": correct})
            differences.append(100.0 * right["rdrop"] - 100.0 * right["none"])
    return np.stack(differences)


def of_rdrop(comparison: Comparison) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    (row,) = (row for row in comparison.rows if row.label == "rdrop")
    assert row.difference is not None
    return row.difference.interval, row.difference.interval_items


def test_the_interval_for_new_images_is_that_of_both_parts(tmp_path: Path) -> None:
    differences = write_with_items(tmp_path)
    seeds, both = of_rdrop(only(tmp_path))
    assert seeds is not None
    assert both is not None
    reach = item_reach(differences, 0.045)
    assert reach > 0.5  # points
    half = math.hypot((seeds[1] - seeds[0]) / 2, reach)
    middle = differences.mean()
    assert both == pytest.approx((middle - half, middle + half))


def test_it_is_said_and_exported(tmp_path: Path) -> None:
    for seed in range(4):
        for regularizer, wrong in ((NONE, 60 + seed), (RDROP, 40)):
            correct = np.arange(IMAGES) >= wrong
            folder = write_trial(tmp_path, regularizer, seed, test=float(correct.mean()))
            write_items(folder, {"test": correct})
    comparison = only(tmp_path)
    _, both = of_rdrop(comparison)
    assert both is not None
    _, second = sentences(comparison)
    assert f"new seeds and new images it is {both[0]:.2f} to {both[1]:.2f}" in second
    row = record(comparison.rows[0], comparison)
    assert (row["items_low"], row["items_high"]) == both


def test_items_that_are_not_the_metric_or_not_there_are_left_out(tmp_path: Path) -> None:
    write_with_items(tmp_path)
    assert of_rdrop(make_report([tmp_path], metric="loss").comparisons[0])[1] is None
    (tmp_path / "demo" / "sweep.yaml").write_text("sweep: demo\n")
    folder = next(path.parent for path in tmp_path.glob("demo/*rdrop*/items.npz"))
    (folder / "items.npz").write_bytes(b"damaged")
    items._read.cache_clear()
    interval, both = of_rdrop(only(tmp_path))
    assert interval is not None
    assert both is None


def test_several_splits_have_other_images_in_every_seed(tmp_path: Path) -> None:
    write_with_items(tmp_path, seeds=2, splits=2)
    interval, both = of_rdrop(only(tmp_path))
    assert interval is not None
    assert both is None


def test_many_groups_read_some_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_with_items(tmp_path)
    for alpha in (1.0, 2.0):
        for seed in range(4):
            write_trial(tmp_path, RDROP | {"alpha": alpha}, seed, 0.5 + 0.01 * seed)
    monkeypatch.setattr(items, "MOST_FILES", 4)
    read: list[Path] = []
    monkeypatch.setattr(items, "_read", lambda folder, *_: read.append(folder))
    make_report([tmp_path])
    assert len(read) <= 2


def test_p_better_from_ten_seeds_on(tmp_path: Path) -> None:
    for seed in range(10):
        write_trial(tmp_path, NONE, seed, 0.9)
        write_trial(tmp_path, RDROP, seed, 0.9 + (0.01 if seed else -0.01))
    comparison = only(tmp_path)
    row = record(comparison.rows[0], comparison)
    assert row["p_better"] == 0.9
    assert (row["p_better_low"], row["p_better_high"]) == pytest.approx((0.5550, 0.9975), abs=1e-4)
    json.dumps(row)
