"""Equivalence by two one-sided tests, and the chance of being better with its exact binomial interval."""

import numpy as np
import pytest
from scipy import stats

from rdrop_exp.statistics.equivalence import equivalent, probability_better
from rdrop_exp.statistics.sequential import PLANNED, anytime_interval


def test_agrees_with_scipy() -> None:
    exact = stats.binomtest(9, 12).proportion_ci(method="exact")
    assert probability_better([1.0] * 9 + [-1.0] * 3) == pytest.approx((0.75, exact.low, exact.high))
    assert probability_better([-1.0] * 9 + [1.0] * 3, higher_is_better=False) == pytest.approx(
        (0.75, exact.low, exact.high)
    )


def test_ends_ties_and_too_few() -> None:
    won = probability_better([0.5] * 10)
    assert won == pytest.approx((1.0, 0.025 ** (1 / 10), 1.0))
    assert probability_better([0.0] * 10) == pytest.approx((0.5, 0.1871, 0.8129), abs=1e-4)
    assert probability_better([1.0] * 9) is None


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.3, 0.6])
def test_equivalence_is_two_one_sided_tests(shift: float) -> None:
    values = np.random.default_rng(0).normal(shift, 0.4, 12)
    above = stats.ttest_1samp(values, -0.5, alternative="greater").pvalue
    below = stats.ttest_1samp(values, 0.5, alternative="less").pvalue
    assert equivalent(values.tolist(), 0.5) == bool(max(above, below) < PLANNED)


def test_equivalence_at_the_edge_has_the_level() -> None:
    """A true difference of just `smallest` is called too small in 4.5 % of cases, and one of zero in most."""
    draws = np.random.default_rng(1).normal(0, 0.4, (3000, 10))
    wrong = np.mean([equivalent((row + 0.5).tolist(), 0.5) for row in draws])
    assert wrong == pytest.approx(PLANNED, abs=0.012)
    assert np.mean([equivalent(row.tolist(), 0.5) for row in draws[:500]]) > 0.8


def test_equivalence_before_the_plan_is_stricter() -> None:
    values = np.random.default_rng(2).normal(0, 0.3, 8).tolist()
    assert equivalent(values, 0.4, planned=8) is True
    assert equivalent(values, 0.4, planned=20) is False
    interval = anytime_interval(values, 0.01)
    assert interval is not None
    assert equivalent(values, max(-interval[0], interval[1]) + 1e-9, planned=20) is True
    assert equivalent([1.0], 0.4) is equivalent([0.1, 0.1], 0.4) is None
