"""Corrections for many comparisons: bounds, known values, and agreement of intervals with p-values."""

import time

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rdrop_exp.statistics.sequential import OTHERWISE, PLANNED, anytime_interval
from rdrop_exp.statistics.simultaneous import compare_together, effective_comparisons

Differences = dict[int, float]


def drawn(seeds: int, groups: int, correlation: float, seed: int = 0) -> list[Differences]:
    rng = np.random.default_rng(seed)
    shared, own = rng.standard_normal((seeds, 1)), rng.standard_normal((seeds, groups))
    values = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    return [dict(enumerate(column)) for column in values.T.tolist()]


def sidak(groups: int, level: float = PLANNED) -> float:
    return level / (1 - (1 - level) ** (1 / groups))


def test_one_comparison_is_not_corrected() -> None:
    assert effective_comparisons(drawn(5, 1, 0.0)) == 1.0
    assert effective_comparisons([]) == 1.0
    assert compare_together([]) == []


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
@pytest.mark.parametrize(("seeds", "groups"), [(3, 7), (8, 7), (20, 7), (20, 30), (8, 100)])
def test_between_one_comparison_and_independent_ones(seeds: int, groups: int, correlation: float) -> None:
    m = effective_comparisons(drawn(seeds, groups, correlation))
    assert 1 <= m <= sidak(groups) + 1e-9
    if correlation == 0.95 and seeds == 20:
        assert m < 0.5 * groups


def test_agrees_with_dunnett_for_many_seeds() -> None:
    """Seven groups and their baseline with one variance: the differences correlate by one half."""
    m = effective_comparisons(drawn(200, 7, 0.5), 0.05)
    rng = np.random.default_rng(5)
    t = np.abs(np.sqrt(0.5) * rng.standard_normal((400_000, 1)) + np.sqrt(0.5) * rng.standard_normal((400_000, 7)))
    exact = 0.05 / (2 * scipy.stats.norm.sf(np.quantile(t.max(axis=1), 0.95)))  # critical value 2.65
    assert m == pytest.approx(exact, rel=0.15)


def test_five_copies_of_one_group_count_less_than_two() -> None:
    (one,) = drawn(20, 1, 0.0)
    nudged = [{key: value + 1e-3 * i * key for key, value in one.items()} for i in range(5)]
    assert effective_comparisons(nudged) < 2


def test_groups_without_spread_do_not_count_and_those_without_seeds_do() -> None:
    several = drawn(5, 3, 0.0)
    assert effective_comparisons([*several, {0: 0.2, 1: 0.2, 2: 0.2}]) == effective_comparisons(several)
    assert effective_comparisons([*several, {}, {0: 1.0}]) > 1.4 * effective_comparisons(several)
    same, none = compare_together([{0: 0.2, 1: 0.2}, {}])
    assert (same.interval, same.p, none.interval, none.p) == (None, None, None, None)


def test_seeds_may_differ_between_groups() -> None:
    first, second = drawn(20, 2, 0.95)
    apart = [first, {key + 100: value for key, value in second.items()}]  # no seed in common: no correlation
    assert effective_comparisons(apart) == pytest.approx(sidak(2))
    assert effective_comparisons([first, second]) < 1.7
    assert effective_comparisons([first, {k: second[k] for k in range(10)}]) <= sidak(2)


def test_nothing_is_random() -> None:
    differences = drawn(8, 7, 0.5)
    assert effective_comparisons(differences) == effective_comparisons(differences)
    scaled = [{key: 1000 * (i + 1) * value + i for key, value in d.items()} for i, d in enumerate(differences)]
    assert effective_comparisons(scaled) == pytest.approx(effective_comparisons(differences), rel=1e-3)


def test_looks_before_and_after_the_plan_are_divided_evenly() -> None:
    differences = drawn(8, 4, 0.5)
    first, second, third, fourth = compare_together(differences, [8, 10, 5, None])
    assert second.interval == anytime_interval(list(differences[1].values()), OTHERWISE / 4)
    assert third.interval == anytime_interval(list(differences[2].values()), OTHERWISE / 4)
    assert [each.interim for each in (first, second, third, fourth)] == [False, True, False, False]
    assert first.share == fourth.share == pytest.approx(1 / effective_comparisons(differences))
    assert compare_together(differences, share=0.5)[0].share == pytest.approx(first.share / 2, rel=0.1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dictionaries(st.integers(0, 6), st.integers(-20, 20).map(lambda k: k / 358), max_size=7), max_size=5),
    st.sampled_from([None, 3, 5]),
)
def test_no_interval_contradicts_its_p_value(differences: list[Differences], planned: int | None) -> None:
    for each in compare_together(differences, [planned] * len(differences)):
        assert each.interval is None or each.p is not None
        if each.p is not None and abs(each.p - 0.05) > 1e-9:
            excludes = each.interval is not None and not each.interval[0] <= 0 <= each.interval[1]
            assert (each.p < 0.05) == excludes


def test_takes_little_time() -> None:
    differences = drawn(20, 64, 0.5)
    effective_comparisons(differences)
    start = time.process_time()
    effective_comparisons(differences)
    assert time.process_time() - start < 0.5  # about 0.05
