"""Intervals for new seeds and new test items: by hand, against a two-way bootstrap, and their coverage."""

import math

import numpy as np
import pytest

from rdrop_exp.statistics.items import item_reach, with_items
from rdrop_exp.statistics.paired import t_interval


def drawn(rng: np.random.Generator, seeds: int, items: int, spread: tuple[float, float, float]) -> np.ndarray:
    """Differences with standard deviations over seeds, over items, and of what is left; their expected mean is 0."""
    of_seed, of_item, rest = spread
    return (
        of_seed * rng.standard_normal((seeds, 1))
        + of_item * rng.standard_normal((1, items))
        + rest * rng.standard_normal((seeds, items))
    )


def test_by_hand() -> None:
    # Items differ by 2 in both seeds: MSᵢ = 2 · (1 + 1) / 1 = 4, nothing is left: σᵢ/√I = √(4 / (2 · 2)) = 1.
    assert item_reach(np.array([[0.0, 2.0], [1.0, 3.0]])) == pytest.approx(1.959964)
    # Items differ by chance only: the seeds' interval has it already.
    assert item_reach(np.array([[0.0, 2.0], [2.0, 0.0]])) == 0.0
    assert with_items((1.0, 7.0), 4.0) == (4.0 - 5.0, 4.0 + 5.0)
    assert item_reach(np.zeros((1, 100))) == item_reach(np.zeros((5, 1))) == 0.0


def test_agrees_with_a_two_way_bootstrap() -> None:
    """Whose variance is that of seeds and items, and twice the rest more (Owen 2007)."""
    rng = np.random.default_rng(0)
    seeds, items = 40, 300
    values = drawn(rng, seeds, items, (1.0, 3.0, 2.0))
    means = [np.mean(values[rng.integers(0, seeds, seeds)][:, rng.integers(0, items, items)]) for _ in range(3000)]
    reach = item_reach(values) / 1.959964
    of_seeds = np.var(values.mean(axis=1), ddof=1) / seeds
    assert math.sqrt(of_seeds + reach**2 + 2 * 4.0 / (seeds * items)) == pytest.approx(np.std(means), rel=0.05)


@pytest.mark.parametrize("spread", [(0.5, 8.0, 8.0), (1.0, 0.0, 8.0), (0.1, 15.0, 5.0)])
@pytest.mark.parametrize("seeds", [3, 8])
def test_coverage(seeds: int, spread: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(seeds)
    within = 0
    for _ in range(1500):
        values = drawn(rng, seeds, 200, spread)
        interval = t_interval(values.mean(axis=1).tolist())
        assert interval is not None
        low, high = with_items(interval, item_reach(values))
        within += low <= 0 <= high
    assert 0.935 < within / 1500 < 0.985
