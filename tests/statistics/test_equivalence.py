"""Chance of being better: the exact binomial interval."""

import pytest
from scipy import stats

from rdrop_exp.statistics.equivalence import probability_better


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
