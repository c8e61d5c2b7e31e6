"""Anytime-valid intervals against numerical integration, and which interval is used when."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from rdrop_exp.statistics.paired import mean_sd, t_interval, t_p_value
from rdrop_exp.statistics.sequential import (
    LEVEL,
    OTHERWISE,
    PLANNED,
    PRIOR_VARIANCE,
    anytime_interval,
    anytime_p_value,
    interval_at,
    p_value_at,
)  # fmt: skip

VALUES = st.lists(st.integers(-358, 358).map(lambda k: k / 358), min_size=2, max_size=30)


def test_the_levels_sum_to_five_percent() -> None:
    assert pytest.approx(LEVEL) == PLANNED + OTHERWISE


@pytest.mark.parametrize(("n", "t"), [(2, 3.0), (5, 2.0), (8, 6.0), (20, 4.0)])
def test_p_value_is_an_integrated_likelihood_ratio(n: int, t: float) -> None:
    """Noncentral t densities, averaged over effects with the normal prior, over the central one."""

    def weighted(effect: float) -> float:
        prior = scipy.stats.norm.pdf(effect, 0, math.sqrt(PRIOR_VARIANCE))
        return float(prior * scipy.stats.nct.pdf(t, n - 1, effect * math.sqrt(n)))

    mixture = scipy.integrate.quad(weighted, -12, 12, points=[0, t / math.sqrt(n)], limit=200)[0]
    factor = mixture / scipy.stats.t.pdf(t, n - 1)
    values = np.arange(n) - (n - 1) / 2
    values += t * values.std(ddof=1) / math.sqrt(n)
    assert anytime_p_value(values.tolist()) == pytest.approx(min(1.0, 1 / factor), rel=1e-3)


@given(VALUES, st.sampled_from([0.05, OTHERWISE, OTHERWISE / 7]))
def test_interval_and_p_value_agree(values: list[float], level: float) -> None:
    interval, p = anytime_interval(values, level), anytime_p_value(values)
    if interval is None or p is None:
        assert p is None or p >= level
        return
    assert interval[0] <= mean_sd(values)[0] <= interval[1]
    assert (p < level * (1 - 1e-9)) <= (not interval[0] <= 0 <= interval[1])
    assert (p > level * (1 + 1e-9)) <= (interval[0] <= 0 <= interval[1])


@pytest.mark.parametrize("level", [0.05, OTHERWISE, OTHERWISE / 15])
def test_interval_ends_where_the_shifted_values_are_just_rejected(level: float) -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 9)
    interval = anytime_interval(values.tolist(), level)
    assert interval is not None
    for end in interval:
        assert anytime_p_value((values - end).tolist()) == pytest.approx(level, rel=1e-6)


@pytest.mark.parametrize(("comparisons", "first"), [(1, 4), (7, 5), (15, 6)])
def test_number_of_seeds_from_which_the_interval_is_finite(comparisons: int, first: int) -> None:
    values = [0.1 * i for i in range(first)]
    assert anytime_interval(values, OTHERWISE / comparisons) is not None
    assert anytime_interval(values[:-1], OTHERWISE / comparisons) is None


def test_width_stays_near_that_of_the_fixed_interval() -> None:
    ratios = []
    for n in (5, 8, 10, 15, 20):
        values = [float(i) for i in range(n)]
        (low, high), (fixed_low, fixed_high) = anytime_interval(values) or (0, 0), t_interval(values) or (0, 0)
        ratios.append((high - low) / (fixed_high - fixed_low))
    assert ratios == pytest.approx([3.74, 2.74, 2.57, 2.38, 2.31], abs=0.01)


def test_too_little_for_a_test() -> None:
    for values in ([], [1.0], [0.5, 0.5, 0.5]):
        assert anytime_interval(values) is None
        assert anytime_p_value(values) is None
        assert p_value_at(values, 5) is None


def test_the_plan_decides() -> None:
    values = np.random.default_rng(0).normal(1, 1, 8).tolist()
    assert interval_at(values) == interval_at(values, 8) == t_interval(values, PLANNED)
    assert interval_at(values, 8, 1 / 3) == t_interval(values, PLANNED / 3)
    assert interval_at(values, 10) == interval_at(values, 5) == anytime_interval(values, OTHERWISE)
    fixed, anytime = t_p_value(values), anytime_p_value(values)
    assert fixed is not None
    assert anytime is not None
    assert p_value_at(values, 8, 1 / 3) == pytest.approx(min(1, fixed * 3 / 0.9))
    assert p_value_at(values, 5) == pytest.approx(min(1, anytime * 10))


@given(VALUES, st.sampled_from([None, 5, 8]), st.sampled_from([1.0, 1 / 6]))
def test_p_value_is_below_the_level_where_the_interval_excludes_zero(
    values: list[float], planned: int | None, share: float
) -> None:
    interval, p = interval_at(values, planned, share), p_value_at(values, planned, share)
    if p is not None and abs(p - LEVEL) > 1e-9:
        assert (p < LEVEL) == (interval is not None and not interval[0] <= 0 <= interval[1])
