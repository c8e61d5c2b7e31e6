"""Ranks over settings against scipy, Demšar's example and his table."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rdrop_exp.statistics.ranks import rank_groups

TABLE = st.integers(2, 6).flatmap(
    lambda groups: st.lists(st.lists(st.integers(0, 5), min_size=groups, max_size=groups), min_size=2, max_size=8)
)


@settings(deadline=None)
@given(TABLE, st.booleans())
def test_agrees_with_scipy(table: list[list[int]], higher: bool) -> None:
    ranking = rank_groups(table, higher)
    assert ranking is not None
    values = np.array(table) * (-1 if higher else 1)
    assert ranking.ranks == pytest.approx(scipy.stats.rankdata(values, axis=1).mean(axis=0).tolist())
    groups = len(ranking.ranks)
    for i in range(groups):
        assert ranking.wins[i][i] == 0
        for j in range(i):
            assert ranking.wins[i][j] + ranking.wins[j][i] == len(table)
    if ranking.p is None:
        assert all(len(set(row)) == 1 for row in table)
    elif groups > 2:
        assert ranking.p == pytest.approx(scipy.stats.friedmanchisquare(*values.T).pvalue)


@pytest.mark.parametrize(("groups", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_difference_has_the_tabulated_quantile(groups: int, q: float) -> None:
    """Demšar (2006), table 5, at 0.05."""
    ranking = rank_groups(np.random.default_rng(0).normal(size=(14, groups)).tolist())
    assert ranking is not None
    assert ranking.critical_difference == pytest.approx(q * np.sqrt(groups * (groups + 1) / (6 * 14)), rel=5e-4)


def test_a_group_that_always_wins() -> None:
    ranking = rank_groups([[0.9, 0.5, 0.4], [0.8, 0.6, 0.7], [0.7, 0.1, 0.2], [0.3, 0.1, 0.2]])
    assert ranking is not None
    assert ranking.ranks == [1.0, 2.75, 2.25]
    assert ranking.wins == [[0, 4, 4], [0, 0, 1], [0, 3, 0]]
    losses = rank_groups([[0.9, 0.5, 0.4], [0.8, 0.6, 0.7]], higher_is_better=False)
    assert losses is not None
    assert losses.ranks == [3.0, 1.5, 1.5]


def test_nothing_to_rank() -> None:
    assert rank_groups([[1.0, 2.0]]) is None
    assert rank_groups([[1.0], [2.0]]) is None
    assert rank_groups([]) is None


def test_friedman_keeps_its_level() -> None:
    """Ten settings and four groups without a difference: about 5 % significant, and no more pairs by Nemenyi."""
    rng, count = np.random.default_rng(0), 1200
    alarms, pairs = 0, 0
    for _ in range(count):
        ranking = rank_groups(rng.normal(size=(10, 4)).tolist())
        assert ranking is not None
        assert ranking.p is not None
        alarms += ranking.p < 0.05
        pairs += max(ranking.ranks) - min(ranking.ranks) > ranking.critical_difference
    assert 0.02 < alarms / count < 0.065
    assert pairs / count < 0.065
