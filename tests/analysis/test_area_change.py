"""Curves over steps, areas under them, and what noise did to the areas, on constructed rows."""

import math
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.analysis.area_change import AreaChange, Direction, area_changes
from rdrop_exp.analysis.curves import area, area_weights
from rdrop_exp.report.collect import collect
from rdrop_exp.report.groups import settings
from tests.analysis.helpers import append_analyses
from tests.report.trials import EARLY, NONE, write_trial

LATE = {"name": "late_dropout", "dropout": 0.1, "when": "late", "cutoff_epoch": 5}


def test_area_by_hand() -> None:
    steps, values = [0, 10, 30], [1.0, 3.0, 3.0]
    assert area(steps, values, (0, 30)) == 20 + 60
    assert area(steps, values, (5, 10)) == pytest.approx(5 * (2 + 3) / 2)
    assert area(steps, values, (2, 4)) == pytest.approx(2 * 1.6)
    assert area(steps, [2.0] * 3, (3, 21)) == pytest.approx(36)
    assert area_weights(steps, (0, 30)) == [5, 15, 10]


@pytest.mark.parametrize("window", [(-1, 5), (0, 31), (5, 5), (6, 5)])
def test_an_area_outside_the_steps_is_an_error(window: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="is not within the 3 steps"):
        area_weights([0, 10, 30], window)


def constructed(
    root: Path, regularizer: dict[str, Any], ratios: list[float], half_width: float | None = None
) -> list[AreaChange]:
    """Changes of one group whose metrics are `ratios` (a value a seed) of those without noise, until step 50."""
    steps = range(0, 101, 20)
    for seed, ratio in enumerate(ratios):
        append_analyses(write_trial(root, NONE, seed), dict.fromkeys(steps, 0.4), half_width=half_width)
        append_analyses(
            write_trial(root, regularizer, seed),
            {s: 0.4 * (ratio if s <= 60 else 3.0) for s in steps},
            half_width=half_width,
        )
    (setting,) = settings(collect([root])[0])
    return area_changes(setting)


def test_lower_before_the_cutoff(tmp_path: Path) -> None:
    variance, error = constructed(tmp_path, EARLY, [0.90, 0.92, 0.91])
    assert (variance.metric, error.metric) == ("direction_variance", "direction_error")
    assert variance.window == (0, 50)
    assert variance.relative == pytest.approx(-0.09)
    assert variance.direction == "lower"
    text = str(variance)
    for part in (
        "early_dropout",
        "steps 0 to 50",
        "direction variance −9.0% [−11.5%, −6.5%]",
        "3 paired seeds",
        "lower",
    ):
        assert part in text


def test_from_the_cutoff_on_and_over_all_steps(tmp_path: Path) -> None:
    late, _ = constructed(tmp_path / "late", LATE, [0.9, 0.92, 0.91])
    assert late.window == (50, 100)
    assert late.direction == "higher"
    always, _ = constructed(tmp_path / "all", {"name": "dropout", "dropout": 0.1}, [0.9, 0.92])
    assert always.window == (0, 100)
    assert "over steps 0 to 100" in str(always)


def test_seeds_that_disagree_are_inconclusive(tmp_path: Path) -> None:
    variance, _ = constructed(tmp_path, EARLY, [0.8, 1.1, 0.9])
    assert variance.direction == Direction.INCONCLUSIVE
    assert "inconclusive" in str(variance)


def test_one_seed_has_an_interval_over_batches(tmp_path: Path) -> None:
    (narrow, _), (wide, _) = (constructed(tmp_path / str(s), EARLY, [0.9], half_width=s) for s in (0.02, 0.2))
    assert narrow.interval is not None
    assert (narrow.direction, wide.direction) == ("lower", Direction.INCONCLUSIVE)
    weights = [w / 50 for w in area_weights(range(0, 101, 20), (0, 50))]
    size = math.hypot(*weights) * 0.02 / 0.4
    assert narrow.interval[1] - narrow.relative == pytest.approx(math.hypot(size, 0.9 * size))
    assert "one pair of trials" in str(narrow)
    (without, _) = constructed(tmp_path / "none", EARLY, [0.9])
    assert without.interval is None
    assert without.direction == Direction.INCONCLUSIVE


def test_trials_of_other_seeds_are_not_compared(tmp_path: Path) -> None:
    append_analyses(write_trial(tmp_path, NONE, 0), {0: 1.0, 100: 1.0})
    append_analyses(write_trial(tmp_path, EARLY, 1), {0: 1.0, 100: 1.0})
    write_trial(tmp_path, EARLY, 0)  # without analyses
    (setting,) = settings(collect([tmp_path])[0])
    assert area_changes(setting) == []
