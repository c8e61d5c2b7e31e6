"""Power against numerical integration and published tables."""

import functools

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rdrop_exp.statistics.power import MOST_SEEDS, power, seeds_needed, smallest_detectable


@functools.cache
def quantiles(n: int) -> NDArray[np.float64]:
    """Of s = √(χ²/ν)."""
    shares = (np.arange(100_000) + 0.5) / 100_000
    return np.asarray(np.sqrt(2 * scipy.special.gammaincinv((n - 1) / 2, shares) / (n - 1)))


def integrated(effect: float, n: int, level: float) -> float:
    """P(|Z + δ| > t · s) averaged over quantiles of s."""
    s = quantiles(n)
    bound, shift = scipy.special.stdtrit(n - 1, 1 - level / 2), effect * np.sqrt(n)
    return float(np.mean(scipy.special.ndtr(shift - bound * s) + scipy.special.ndtr(-shift - bound * s)))


@pytest.mark.parametrize("n", [2, 3, 8, 50, 1000, MOST_SEEDS])
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.9, 3.0, 6.0, 20.0, 50.0, 1e4])
@pytest.mark.parametrize("level", [0.045, 0.003, 0.0001])
def test_agrees_with_integration(n: int, shift: float, level: float) -> None:
    effect = shift / np.sqrt(n)
    assert power(effect, n, level) == pytest.approx(integrated(effect, n, level), abs=3e-5)
    assert power(-effect, n, level) == power(effect, n, level)


@pytest.mark.parametrize(("effect", "n"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_published_numbers(effect: float, n: int) -> None:
    """Pairs for 80 % power at 5 % with a small, medium and large effect (Cohen 1988; G*Power)."""
    assert seeds_needed(effect, 1.0, 0.05) == n
    assert power(effect, n, 0.05) >= 0.8 > power(effect, n - 1, 0.05)


@given(st.floats(0.02, 20), st.sampled_from([0.05, 0.045 / 7]), st.sampled_from([0.8, 0.95]))
def test_the_first_number_of_seeds_with_that_power(effect: float, level: float, wanted: float) -> None:
    needed = seeds_needed(-3 * effect, 3.0, level, wanted)
    if needed is None:
        assert power(effect, MOST_SEEDS, level) < wanted
    else:
        assert power(effect, needed, level) >= wanted > power(effect, needed - 1, level)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 100])
def test_smallest_detectable_is_found_with_that_power(n: int) -> None:
    smallest = smallest_detectable(2.5, n, 0.01, 0.95)
    assert smallest is not None
    assert power(smallest / 2.5, n, 0.01) == pytest.approx(0.95, abs=1e-4)


def test_no_projection() -> None:
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1e-6, 1.0) is None
    assert seeds_needed(1.0, None) is None
    assert seeds_needed(1.0, 0.0) is None
    assert smallest_detectable(1.0, 1) is None
    assert power(1.0, 1) == 0.0
