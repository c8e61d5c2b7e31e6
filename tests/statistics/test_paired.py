"""The statistics against textbook values, scipy's own tests, and simulation."""

import math

import numpy as np
import pytest
import scipy.stats

from rdrop_exp.statistics import paired as s

# Student (1908): additional hours of sleep of ten patients under one drug over another.
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
# Darwin's maize, as Fisher (1935) took it: cross- minus self-fertilised plants, in eighths of an inch.
MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_student_sleep_data() -> None:
    mean, sd = s.mean_sd(SLEEP)
    assert [mean, sd] == pytest.approx([1.58, 1.2300], abs=5e-5)
    assert s.t_p_value(SLEEP) == pytest.approx(0.002833, abs=5e-7)
    assert s.t_interval(SLEEP) == pytest.approx((0.7001, 2.4599), abs=5e-5)


def test_fisher_maize_data() -> None:
    # Fisher: 1,726 of the 32,768 patterns are at least as extreme.
    assert s.sign_flip_p_value(MAIZE) == 1726 / 32768
    # And his t test of the same data: t = 2.148 on 14 degrees, p just below 0.05.
    assert s.t_p_value(MAIZE) == pytest.approx(0.0497, abs=5e-5)


@pytest.mark.parametrize("n", [2, 3, 5, 12, 40])
def test_t_agrees_with_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    one, two = rng.normal(0.3, 1, n), rng.normal(0, 1, n)
    expected = scipy.stats.ttest_rel(one, two)
    bounds = expected.confidence_interval(0.9)
    assert s.t_p_value(list(one - two)) == pytest.approx(expected.pvalue)
    assert s.t_interval(list(one - two), 0.1) == pytest.approx((bounds.low, bounds.high))


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_sign_flip_agrees_with_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(0.5, 1, n)
    expected = scipy.stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert s.sign_flip_p_value(list(values)) == pytest.approx(expected.pvalue)


def test_sign_flip_has_a_smallest_value() -> None:
    for n in (3, 5, 6, 10):
        assert s.sign_flip_p_value([1.0 + 0.1 * i for i in range(n)]) == 2 / 2**n
    assert s.sign_flip_p_value([0.0, 0.0, 0.0]) == 1.0


def test_sign_flip_beyond_enumeration_is_close_and_never_zero() -> None:
    values = list(np.random.default_rng(3).normal(0.35, 1, 30))
    assert s.sign_flip_p_value(values) == pytest.approx(s.t_p_value(values), abs=0.01)
    assert s.sign_flip_p_value([1.0] * 40) > 0
    assert s.sign_flip_interval(values) == pytest.approx(s.t_interval(values), abs=0.05)


@pytest.mark.parametrize("n", [6, 7, 9, 11])
def test_sign_flip_interval_holds_what_the_test_does_not_reject(n: int) -> None:
    values = np.random.default_rng(n).normal(0.2, 1, n)
    bounds = s.sign_flip_interval(list(values))
    assert bounds is not None
    low, high = bounds
    width = high - low
    for shift in (low + 1e-6 * width, (low + high) / 2, high - 1e-6 * width):
        assert s.sign_flip_p_value(list(values - shift)) > 0.05
    for shift in (low - 1e-6 * width, high + 1e-6 * width, high + width):
        assert s.sign_flip_p_value(list(values - shift)) <= 0.05


def test_sign_flip_interval_needs_six_seeds() -> None:
    values = [0.2, 0.5, 0.4, 0.3, 0.9]
    assert s.sign_flip_interval(values) is None
    assert s.sign_flip_interval([*values, 0.6]) == pytest.approx((0.2, 0.9))  # k = 1: smallest and largest
    assert s.sign_flip_interval(values, level=0.0625) == pytest.approx((0.2, 0.9))


@pytest.mark.parametrize(("n", "factor"), [(3, 0.5642), (4, 0.7236), (5, 0.7979), (11, 0.9228), (51, 0.9849)])
def test_effect_size_has_hedges_factor(n: int, factor: float) -> None:
    values = list(np.random.default_rng(n).normal(1, 2, n))
    raw = np.mean(values) / np.std(values, ddof=1)
    assert s.effect_size(values) == pytest.approx(raw * factor, rel=1e-4)  # J(n − 1), tabulated by Hedges (1981)


def test_effect_size_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    found = [s.effect_size(list(row)) for row in rng.normal(0.8, 1, (20_000, 5))]
    assert np.mean([f for f in found if f is not None]) == pytest.approx(0.8, abs=0.02)


def test_too_little_to_say() -> None:
    assert s.mean_sd([3.0]) == (3.0, None)
    assert s.t_interval([3.0]) is None
    assert s.t_p_value([3.0]) is None
    assert s.effect_size([1.0, 2.0]) is None
    equal = [0.9722 - 0.9694, 0.9694 - 0.9666, 0.9666 - 0.9638]  # equal but for the last bit
    assert s.mean_sd(equal)[1] == 0.0
    assert s.t_interval(equal) is None
    assert s.t_p_value(equal) is None


@pytest.mark.parametrize("n", [3, 5, 10])
def test_interval_covers_and_null_is_kept(n: int) -> None:
    """95 % of intervals hold the truth, and 5 % of null differences look significant: within four standard errors."""
    draws = np.random.default_rng(n).normal(0, 1, (6000, n))
    error = 4 * math.sqrt(0.05 * 0.95 / len(draws))
    covered = np.mean([low <= 0 <= high for low, high in (s.t_interval(list(row)) or (9, 9) for row in draws)])
    assert covered == pytest.approx(0.95, abs=error)
    assert np.mean([s.t_p_value(list(row)) < 0.05 for row in draws]) == pytest.approx(0.05, abs=error)  # type: ignore[operator]
    flipped = np.mean([s.sign_flip_p_value(list(row)) <= 0.05 for row in draws[:2000]])
    assert flipped <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 2000)
    assert flipped == 0 if n < 6 else flipped > 0.02  # with fewer than six seeds the exact test cannot reject
