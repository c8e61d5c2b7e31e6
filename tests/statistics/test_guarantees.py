"""What docs/statistics.md promises, by simulation: false alarms, coverage and power.

    python -m pytest -s tests/statistics/test_guarantees.py     # prints the figures

Simulated reports: each seed has its own luck, which all groups share in part; accuracies are multiples of 1/358, as on
a test set of that size, and some groups vary three times as much as others. No group differs from the baseline, so
every "better" or "worse" is a false alarm.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rdrop_exp.statistics import simultaneous
from rdrop_exp.statistics.items import item_reach, with_items
from rdrop_exp.statistics.paired import t_interval, t_quantile
from rdrop_exp.statistics.power import power, seeds_needed
from rdrop_exp.statistics.sequential import OTHERWISE, PLANNED, anytime_interval
from rdrop_exp.statistics.simultaneous import compare_together, effective_comparisons

Array = NDArray[np.float64]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the draws of a correction, for time; the noise this adds is part of the simulation."""
    monkeypatch.setattr(simultaneous, "DRAWS", 2000)


ITEMS = 358


def slow(*cases: tuple[int, int]) -> list[Any]:
    """Cases that are left to `make test-slow`."""
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


def reports(rng: np.random.Generator, count: int, seeds: int, groups: int, spread: float = 0.012) -> Array:
    """Differences of groups that are no better than their baseline, (reports, seeds, groups).

    `spread`: standard deviation of an accuracy over seeds.
    """
    shared = rng.standard_normal((count, seeds, 1))
    own = rng.standard_normal((count, seeds, groups + 1)) * (1 + 2 * (np.arange(groups + 1) % 3 == 2))
    accuracy = np.round(ITEMS * (0.9 + spread * (shared + own) / math.sqrt(2))) / ITEMS
    return np.asarray(accuracy[:, :, 1:] - accuracy[:, :, :1])


def absolute_t(differences: Array) -> Array:
    """|t| over the seeds, (reports, groups); 0 without spread, where nothing is tested."""
    sd = differences.std(axis=1, ddof=1)
    mean = np.abs(differences.mean(axis=1))
    same = sd < 1e-9
    return np.where(same, 0.0, mean / np.where(same, 1.0, sd) * math.sqrt(differences.shape[1]))


def alarms_at_plan(differences: Array) -> NDArray[np.bool_]:
    """Whether any group of a report is found different at the planned number of seeds, (reports,).

    Only reports between the strictest and the most lenient correction need their own.
    """
    largest, n, groups = absolute_t(differences).max(axis=1), differences.shape[1], differences.shape[2]
    alarm = np.asarray(largest > t_quantile(1 - PLANNED / groups / 2, n - 1))
    for i in np.flatnonzero(~alarm & (largest > t_quantile(1 - PLANNED / 2, n - 1))):
        m = effective_comparisons([dict(enumerate(column)) for column in differences[i].T.tolist()])
        alarm[i] = largest[i] > t_quantile(1 - PLANNED / m / 2, n - 1)
    return alarm


@lru_cache
def anytime_bound(n: int, level: float) -> float:
    """|t| from which on the anytime-valid interval of n differences excludes zero."""
    values = np.arange(n) - (n - 1) / 2
    interval = anytime_interval(values.tolist(), level)
    return math.inf if interval is None else interval[1] / (values.std(ddof=1) / math.sqrt(n))


def allowed(share: float, count: int) -> float:
    """The share, and what chance adds to it in that many reports (three standard errors)."""
    return share + 3 * math.sqrt(share * (1 - share) / count)


def test_the_shortcut_judges_as_reports_do() -> None:
    for differences in reports(np.random.default_rng(0), 60, 4, 3):
        judged = compare_together([dict(enumerate(column)) for column in differences.T.tolist()])
        assert any(each.p is not None and each.p < 0.05 for each in judged) == alarms_at_plan(differences[None])[0]


@pytest.mark.parametrize(
    ("seeds", "groups"), [(3, 1), (3, 7), (8, 7), *slow((5, 1), (5, 7), (20, 7), (3, 15), (8, 15))]
)
def test_false_alarms_of_a_report(seeds: int, groups: int) -> None:
    count = 1500
    share = alarms_at_plan(reports(np.random.default_rng(seeds), count, seeds, groups)).mean()
    print(f"false alarms, one look: {seeds} seeds, {groups} groups: {share:.3f}")
    assert 0.005 < share <= allowed(PLANNED, count)


@pytest.mark.parametrize("spread", [0.003, 0.0015])
@pytest.mark.parametrize("seeds", [3, 5])
def test_few_items_do_not_raise_false_alarms(seeds: int, spread: float) -> None:
    """Where seeds differ by an item or less, many differences are equal."""
    share = alarms_at_plan(reports(np.random.default_rng(seeds), 2000, seeds, 7, spread)).mean()
    print(f"false alarms, spread of {spread * ITEMS:.1f} items, {seeds} seeds: {share:.3f}")
    assert share <= allowed(PLANNED, 2000)


@pytest.mark.parametrize(
    ("planned", "groups"), [(3, 1), (5, 7), (3, 15), *slow((5, 1), (8, 1), (3, 7), (8, 7), (5, 15), (8, 15))]
)
def test_false_alarms_when_looking_after_every_seed(planned: int, groups: int) -> None:
    """From 2 to 30 seeds, stopping at the first verdict."""
    count = 1500
    differences = reports(np.random.default_rng(planned), count, 30, groups)
    alarm, naive = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for n in range(2, 31):
        t = absolute_t(differences[:, :n]).max(axis=1)
        naive |= t > t_quantile(1 - 0.05 / groups / 2, n - 1)
        if n == planned:
            alarm |= alarms_at_plan(differences[:, :n])
        else:
            alarm |= t > anytime_bound(n, OTHERWISE / groups)
    print(f"false alarms, every look: plan {planned}, {groups} groups: {alarm.mean():.3f}, naive {naive.mean():.3f}")
    assert alarm.mean() <= allowed(0.05, count)
    assert naive.mean() > 0.1


@pytest.mark.parametrize(("seeds", "groups"), [(3, 7), (5, 7), *slow((8, 15))])
def test_simultaneous_intervals_cover(seeds: int, groups: int) -> None:
    """All true differences lie in their intervals in 95.5 % of reports; differences are not rounded here."""
    rng, count = np.random.default_rng(seeds), 1500
    effects = np.linspace(-0.03, 0.03, groups)
    shared = 0.01 * rng.standard_normal((count, seeds, 1))
    errors = shared + 0.01 * rng.standard_normal((count, seeds, groups))
    missed = alarms_at_plan(errors).mean()  # shifting differences by their effects shifts their intervals
    print(f"simultaneous coverage: {seeds} seeds, {groups} groups: {1 - missed:.3f}")
    assert 0.94 <= 1 - missed <= 0.975
    for differences in errors[:5] + effects:
        judged = compare_together([dict(enumerate(column)) for column in differences.T.tolist()])
        unshifted = compare_together([dict(enumerate(c)) for c in (differences - effects).T.tolist()])
        for each, other, effect in zip(judged, unshifted, effects, strict=True):
            assert each.interval is not None
            assert other.interval is not None
            assert each.interval == pytest.approx((other.interval[0] + effect, other.interval[1] + effect))


@pytest.mark.parametrize("effect", [0.3, 0.5, 0.8, 1.2, 2.0])
@pytest.mark.parametrize("share", [1, 1 / 7])
def test_projected_seeds_deliver_their_power(effect: float, share: float) -> None:
    needed = seeds_needed(effect, 1.0, PLANNED * share)
    assert needed is not None
    count = 400_000 // needed
    t = absolute_t(np.random.default_rng(needed).normal(effect, 1, (count, needed, 1)))
    delivered = np.mean(t > t_quantile(1 - PLANNED * share / 2, needed - 1))
    print(f"power of {needed} projected seeds, effect {effect}, 1 of {1 / share:.0f}: {delivered:.3f}")
    assert 0.78 <= delivered <= 0.90
    assert delivered == pytest.approx(power(effect, needed, PLANNED * share), abs=4 * 0.5 / math.sqrt(count))


@pytest.mark.parametrize(("seeds", "most"), [(3, 0.985), (5, 0.98), (8, 0.965), (20, 0.965)])
@pytest.mark.parametrize("items_differ", [0.8, 2.0])
def test_intervals_for_new_seeds_and_new_items_cover(seeds: int, most: float, items_differ: float) -> None:
    """Bits of two groups that are equally good on average; which items each gets right differs by `items_differ`.

    Logits: difficulty of the item, luck of the seed, and what a group makes of an item.
    """
    rng = np.random.default_rng(seeds)
    count, within, seeds_only = 0, 0, 0
    for _ in range(2000):
        difficulty = 2 + 1.5 * rng.standard_normal(ITEMS)
        right = []
        for _ in range(2):
            logits = difficulty + items_differ * rng.standard_normal(ITEMS) + 0.1 * rng.standard_normal((seeds, 1))
            right.append(rng.random((seeds, ITEMS)) < 1 / (1 + np.exp(-logits)))
        differences = right[0].astype(float) - right[1]
        interval = t_interval(differences.mean(axis=1).tolist())
        if interval is None:
            continue  # all seeds differ equally
        count += 1
        low, high = with_items(interval, item_reach(differences))
        within += low <= 0 <= high
        seeds_only += interval[0] <= 0 <= interval[1]
    print(f"new items: {seeds} seeds, items {items_differ}: {within / count:.3f}, seeds only {seeds_only / count:.3f}")
    assert count > 1990
    assert 0.937 <= within / count <= most
    assert items_differ < 2 or seeds_only < 0.95 * within
