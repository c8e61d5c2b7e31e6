"""Contrasts by seed, by hand."""

import pytest

from rdrop_exp.questions.contrasts import best_level, of_shape, of_sides, trend, windows
from rdrop_exp.questions.expectation import Kind, Shape

A = {(0, 0): 3.0, (1, 0): 5.0, (2, 0): 9.0}
B = {(1, 0): 4.0, (0, 0): 1.0, (0, 1): 7.0}


@pytest.mark.parametrize(
    ("kind", "direction", "sign"),
    [(Kind.BETTER, 1, 1), (Kind.BETTER, -1, -1), (Kind.WORSE, 1, -1), (Kind.HIGHER, -1, 1), (Kind.LOWER, 1, -1),
     (Kind.EQUAL, 1, 0)],
)  # fmt: skip
def test_sides_are_paired_by_seed_and_split(kind: Kind, direction: int, sign: int) -> None:
    one, other = of_sides(kind, A, [B, {}], direction)
    assert (one.values, one.sign) == ({(0, 0): 2.0, (1, 0): 1.0}, sign)
    assert other.values == {}


def test_a_hump_is_two_contrasts() -> None:
    series = [{(0, 0): float(v)} for v in (1, 5, 6, 4)]
    assert [dict(c.values) for c in of_shape(Shape.HUMP, series, 1, top=2)] == [{(0, 0): 5.0}, {(0, 0): 2.0}]
    assert [c.sign for c in of_shape(Shape.HUMP, series, -1, top=2)] == [-1, -1]


def test_flat_is_every_pair() -> None:
    series = [{(0, 0): float(v)} for v in (1, 5, 6)]
    assert [c.values[0, 0] for c in of_shape(Shape.FLAT, series, 1)] == [4.0, 5.0, 1.0]
    assert {c.sign for c in of_shape(Shape.FLAT, series, 1)} == {0}


@pytest.mark.parametrize(("levels", "change"), [([1, 4], 3), ([1, 9, 4], 3), ([0, 1, 2, 3], 3), ([5, 5, 5, 5, 5], 0)])
def test_a_trend_is_the_change_from_first_to_last(levels: list[float], change: float) -> None:
    assert trend([{(0, 0): float(level)} for level in levels])[0, 0] == pytest.approx(change)


def test_a_trend_needs_all_levels_of_a_seed() -> None:
    assert list(trend([A, B])) == [(0, 0), (1, 0)]
    assert [c.sign for s in (Shape.RISES, Shape.FALLS) for c in of_shape(s, [A, B], -1)] == [1, -1]


def test_the_best_level_of_each_seed() -> None:
    levels = [(0.1, {(0, 0): 1.0, (1, 0): 5.0, (2, 0): 2.0}), (0.3, {(0, 0): 4.0, (1, 0): 5.0})]
    assert best_level(levels, 1) == pytest.approx({(0, 0): 0.3, (1, 0): 0.2})
    assert best_level(levels, -1) == pytest.approx({(0, 0): 0.1, (1, 0): 0.2})


def test_thirds_of_a_window() -> None:
    assert windows(0.0, 0.75) == [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75)]
