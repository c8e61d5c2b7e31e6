"""The race: smoothing, bounds, and who leaves."""

import math

import pytest

from rdrop_exp.choose.plan import BASELINE, Fate, Setting
from rdrop_exp.choose.race import RISK, Race
from rdrop_exp.statistics.sequential import anytime_interval

LOW, MIDDLE, HIGH = (Setting("dropout", (i,)) for i in range(3))
WIGGLE = [0.0, 0.3, -0.2, 0.1, -0.3, 0.2, 0.0, -0.1]


def race_of(**shifts: float) -> Race:
    race = Race(possible=4)
    for setting, (name, shift) in zip((BASELINE, LOW, MIDDLE, HIGH), shifts.items(), strict=False):
        own = [0.1 * math.sin(7 * i + len(name)) for i in range(8)]
        race.add(setting, [90 + shift + w + o for w, o in zip(WIGGLE, own, strict=True)])
    return race


def test_what_cannot_win_is_dropped_and_says_against_whom() -> None:
    race = race_of(a=0.0, bb=2.0, ccc=-3.0)
    events = race.drop(5)
    assert {e.setting for e in events} == {BASELINE, MIDDLE}
    assert all(e.fate == Fate.DROPPED and e.against == LOW and e.round == 5 and e.seeds == 8 for e in events)
    assert race.racing == [LOW]
    assert race.left.keys() == {BASELINE, MIDDLE}
    level = 2 * RISK / 3
    interval = anytime_interval(race.differences(MIDDLE, LOW), level)
    assert interval is not None
    assert race.upper(MIDDLE, LOW) == interval[1] < race.tolerance


def test_what_may_still_win_stays() -> None:
    race = race_of(a=0.0, bb=0.15)
    assert race.drop(1) == [] or race.upper(BASELINE, LOW) < race.tolerance
    fresh = Race(possible=4)
    fresh.add(BASELINE, [90.0, 91.0])
    fresh.add(LOW, [70.0, 71.5])
    assert fresh.drop(1) == []  # two seeds exclude nothing
    assert fresh.upper(LOW, BASELINE) == math.inf


def test_a_lucky_seed_without_support_of_its_neighbours_does_not_lead() -> None:
    race = Race(possible=4)
    for setting, values in ((BASELINE, WIGGLE), (LOW, [w + 1.0 for w in WIGGLE]), (MIDDLE, [w + 0.9 for w in WIGGLE])):
        race.add(setting, [90 + v + 0.3 * math.sin(9 * i + setting.levels.__len__()) for i, v in enumerate(values)])
    race.add(HIGH, [95.0])  # one seed, far above
    assert race.leader() in (LOW, MIDDLE)
    means = race.estimates()
    assert means[HIGH][0] < 95.0 - 90.0
    assert means[HIGH][1] > means[LOW][1] > 0


def test_a_neighbour_that_has_not_raced_is_expected_near_it() -> None:
    race = race_of(a=0.0, bb=2.0)
    far = Setting("rdrop", (0, 0))
    estimates = race.estimates([MIDDLE, far])
    assert estimates[MIDDLE][0] > estimates[far][0]
    assert estimates[MIDDLE][1] < estimates[far][1]


def test_the_best_half_stays_and_the_leader_with_it() -> None:
    race = race_of(a=0.0, bb=0.5, ccc=0.3, dddd=-0.2)
    events = race.cut(2, 3)
    assert len(race.racing) == 2
    assert race.leader() in race.racing
    assert {e.fate for e in events} == {Fate.CUT}
    race.add(BASELINE, [90.0])
    assert (BASELINE in race.racing) == (BASELINE not in race.left)  # further seeds do not bring a setting back


def test_the_largest_gain_is_a_bound_over_all_that_raced() -> None:
    race = race_of(a=0.0, bb=-1.0, ccc=-2.0)
    assert race.largest_gain() == pytest.approx(max(race.upper(s, BASELINE) for s in (LOW, MIDDLE)))
    race.add(HIGH, [90.0])
    assert race.largest_gain() == math.inf


def test_everything_failed() -> None:
    race = Race(possible=2)
    race.add(BASELINE, [1.0])
    assert race.fail(BASELINE, 1).fate == Fate.FAILED
    assert race.leader() == BASELINE
