"""Every verdict, from constructed differences."""

from collections.abc import Sequence

import pytest

from rdrop_exp.probe.verdict import Effect, Regime, effects, judge, trend
from rdrop_exp.statistics.paired import t_interval

HELPS, HURTS = [0.02, 0.025, 0.03], [-0.02, -0.025, -0.03]
UNCLEAR, SAME = [0.02, -0.01, 0.03], [0.01, 0.01, 0.01]


@pytest.mark.parametrize(
    ("differences", "regime", "parts"),
    [
        ({0.1: HELPS}, Regime.OVERFITTING, ["rate 0.1 helps", "+2.50 points [+1.26, +3.74], 3 seeds"]),
        ({0.1: HURTS}, Regime.UNDERFITTING, ["0.1", "hurts", "−2.50 points [−3.74, −1.26], 3 seeds"]),
        ({0.1: UNCLEAR}, Regime.INCONCLUSIVE, ["95 % interval", "zero", "+1.33 points [−3.84, +6.50], 3 seeds"]),
        ({0.1: SAME}, Regime.INCONCLUSIVE, ["same", "+1.00 points, 3 seeds"]),
        ({0.1: [-0.05]}, Regime.INCONCLUSIVE, ["one pair", "−5.00 points, 1 seed"]),
        ({0.1: []}, Regime.INCONCLUSIVE, ["no pair"]),
        ({}, Regime.INCONCLUSIVE, ["no pair"]),
        ({0.1: UNCLEAR, 0.3: HURTS * 3}, Regime.INCONCLUSIVE, ["0.3 hurts", "0.1 does not"]),
        ({0.1: HELPS * 3, 0.3: HURTS * 3}, Regime.OVERFITTING, ["rate 0.1 helps"]),
        ({0.1: UNCLEAR, 0.3: HELPS * 3}, Regime.OVERFITTING, ["rate 0.3 helps"]),
        ({0.1: HURTS * 3, 0.3: HELPS * 3}, Regime.INCONCLUSIVE, ["disagree", "0.1 hurts", "0.3 helps"]),
        ({0.1: HURTS * 3, 0.3: UNCLEAR}, Regime.UNDERFITTING, ["lowest rate, 0.1"]),
        ({0.1: UNCLEAR, 0.3: SAME}, Regime.INCONCLUSIVE, ["97.5 % interval"]),
        ({0.1: [0.02, 0.021, 0.022], 0.3: [0.04, 0.041, 0.042]}, Regime.OVERFITTING, ["rate 0.3 helps"]),
    ],
    ids=str,
)
def test_verdicts(differences: dict[float, Sequence[float]], regime: Regime, parts: list[str]) -> None:
    verdict = judge(effects(differences))
    assert verdict.regime == regime
    for part in parts:
        assert part in verdict.reason
    assert (verdict.rate is None) == (regime == Regime.INCONCLUSIVE)


def test_no_verdict_where_the_interval_touches_zero() -> None:
    low, _ = t_interval(UNCLEAR) or (0.0, 0.0)
    shifted = [value - low for value in UNCLEAR]
    for nudge, regime in ((-1e-6, Regime.INCONCLUSIVE), (1e-6, Regime.OVERFITTING)):
        assert judge(effects({0.1: [value + nudge for value in shifted]})).regime == regime


def test_two_rates_need_wider_intervals() -> None:
    alone, together = effects({0.1: HELPS})[0], effects({0.1: HELPS, 0.3: HELPS})[0]
    assert (alone.level, together.level) == (0.05, 0.025)
    assert alone.interval is not None
    assert together.interval is not None
    assert together.interval[0] < alone.interval[0]


def test_more_seeds_are_a_number_only_where_one_can_be_given() -> None:
    assert judge(effects({0.1: UNCLEAR})).more_seeds == Effect(0.1, tuple(UNCLEAR)).more_seeds == 19
    assert judge(effects({0.1: [0.01, -0.01]})).more_seeds is None  # a mean of zero is never settled
    assert judge(effects({0.1: HELPS})).more_seeds is None
    assert judge(effects({0.1: [0.01]})).more_seeds is None  # one seed has no spread to go by


def test_a_trend_is_of_the_seeds_that_both_have() -> None:
    assert trend({0: 0.01, 1: 0.02, 5: 0.9}, {0: 0.03, 1: 0.06, 2: 0.5}) == (
        pytest.approx(0.03), (pytest.approx(-0.097, abs=1e-3), pytest.approx(0.157, abs=1e-3)), 2,
    )  # fmt: skip
    assert trend({0: 0.1}, {1: 0.2}) is None
