"""An expectation as contrasts: numbers by seed and split whose mean it says something about."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from rdrop_exp.questions.expectation import Kind, Shape

Key = tuple[int, int]
"""Seed and split seed, by which trials are paired."""
Values = Mapping[Key, float]


@dataclass(frozen=True, slots=True)
class Contrast:
    values: Values
    sign: int
    """1: expected above zero, −1: below, 0: within the smallest difference worth having."""


def of_sides(kind: Kind, first: Values, others: Sequence[Values], direction: int) -> list[Contrast]:
    """A minus each B; `direction` is 1 where more is better."""
    signs = {Kind.BETTER: direction, Kind.WORSE: -direction, Kind.HIGHER: 1, Kind.LOWER: -1, Kind.EQUAL: 0}
    return [Contrast(minus(first, other), signs[kind]) for other in others]


def of_shape(shape: Shape, series: Sequence[Values], direction: int, top: int = 1) -> list[Contrast]:
    """Contrasts over ordered levels, two or more; all must hold.

    hump: the inner level `top` against either end; flat: every pair; rises, falls: the linear trend over the ranks of
    the levels, as the change from the first to the last.
    """
    if shape is Shape.HUMP:
        return [Contrast(minus(series[top], series[end]), direction) for end in (0, -1)]
    if shape is Shape.FLAT:
        return [Contrast(minus(later, earlier), 0) for earlier, later in combinations(series, 2)]
    return [Contrast(trend(series), 1 if shape is Shape.RISES else -1)]


def minus(a: Values, b: Values) -> Values:
    return {key: a[key] - b[key] for key in sorted(a.keys() & b.keys())}


def trend(series: Sequence[Values]) -> Values:
    """Least-squares slope over the ranks 0 … k − 1, times k − 1, of every seed that all levels have."""
    middle = (len(series) - 1) / 2
    weights = [rank - middle for rank in range(len(series))]
    scale = (len(series) - 1) / math.fsum(w * w for w in weights)
    return {
        key: scale * math.fsum(w * each[key] for w, each in zip(weights, series, strict=True))
        for key in shared_keys(series)
    }


def best_level(levels: Sequence[tuple[Any, Values]], direction: int) -> Values:
    """By seed, the level with the best value; the mean of levels that tie."""
    chosen = {}
    for key in shared_keys([values for _, values in levels]):
        best = max(direction * values[key] for _, values in levels)
        tied = [float(level) for level, values in levels if direction * values[key] == best]
        chosen[key] = math.fsum(tied) / len(tied)
    return chosen


def shared_keys(series: Sequence[Values]) -> list[Key]:
    return sorted(set.intersection(*(set(each) for each in series)))


def windows(start: float, end: float) -> list[tuple[float, float]]:
    """The thirds of a part of training, in order."""
    third = (end - start) / 3
    return [(start + i * third, start + (i + 1) * third) for i in range(3)]
