"""The policy: what it runs, what it decides, and that an interruption changes nothing."""

import math
import random
from collections.abc import Callable

import pytest

from rdrop_exp.choose.families import FAMILIES, families
from rdrop_exp.choose.plan import (
    BASELINE,
    CONFIRM_SEED,
    Answer,
    Fate,
    Outcome,
    Plan,
    Regime,
    Round,
    Score,
    Setting,
    Stage,
)  # fmt: skip
from rdrop_exp.choose.policy import decide
from rdrop_exp.choose.stages import CONFIRM_SHARE, FEWEST, fewest_trials
from rdrop_exp.choose.state import Scores
from rdrop_exp.statistics.power import smallest_detectable

Truth = Callable[[Setting], float]
STANDARD = FAMILIES[0].start
DROPOUTS = {regime: families(regime, branches=False) for regime in Regime}


def plan_of(budget: float = 150, **other: object) -> Plan:
    return Plan(families=DROPOUTS, standard=STANDARD, budget=budget, **other)  # type: ignore[arg-type]


def score(truth: Truth, setting: Setting, seed: int, sd: float = 0.5) -> Score:
    """A number that depends on setting and seed alone: a part of the seed's, and one of the trial's own."""
    shared = random.Random(f"{seed}").gauss(0, sd)
    own = random.Random(f"{seed} {setting}").gauss(0, sd)
    value = 90 + truth(setting) + shared + own
    return Score(value, value)


def play(plan: Plan, truth: Truth) -> tuple[Answer, list[Round], dict[tuple[Setting, int], Score]]:
    scores: dict[tuple[Setting, int], Score] = {}
    rounds = []
    while not isinstance(now := decide(plan, scores), Answer):
        rounds.append(now)
        scores |= {trial: score(truth, *trial) for trial in now.trials}
    return now, rounds, scores


def only_rdrop(setting: Setting) -> float:
    return 2.0 - 0.3 * (setting.levels[1] - 3) ** 2 if setting.family == "rdrop" else 0.0


def test_a_clear_gain_is_found_and_confirmed_on_fresh_seeds() -> None:
    answer, rounds, scores = play(plan_of(), only_rdrop)
    assert [r.stage for r in rounds if r.stage != Stage.RACE] == [Stage.PILOT, Stage.CONFIRM]
    assert answer.outcome == Outcome.GAIN
    assert answer.best.family == "rdrop"
    assert only_rdrop(answer.best) >= 1.7
    confirmed = {seed for setting, seed in rounds[-1].trials if setting == answer.best}
    assert confirmed == {CONFIRM_SEED + n for n in range(answer.seeds)}
    assert answer.seeds >= FEWEST
    assert answer.interval is not None
    assert answer.interval[0] > 0
    assert answer.spent == len(scores) <= 150
    assert max(seed for _, seed in scores if seed < CONFIRM_SEED) < 100


def test_seeds_of_a_setting_have_no_gap_and_no_trial_is_asked_for_twice() -> None:
    _, rounds, scores = play(plan_of(), only_rdrop)
    asked = [trial for now in rounds for trial in now.trials]
    assert len(asked) == len(set(asked)) == len(scores)
    for setting in {s for s, _ in asked}:
        seeds = sorted(n for s, n in asked if s == setting and n < CONFIRM_SEED)
        assert seeds == list(range(len(seeds)))


def test_where_nothing_gains_the_baseline_is_kept() -> None:
    outcomes = []
    for shift in range(8):
        plan = plan_of(smallest=1.0)
        answer, rounds, _ = play(plan, lambda s, k=shift: 0.0 if s == BASELINE else -1.5 - 0.001 * k)  # type: ignore[misc]
        outcomes.append(answer.outcome)
        assert answer.leader == answer.use == BASELINE
        # on fresh seeds, the best alternative gains less than a point; or the race has excluded it for all
        assert rounds[-1].stage == Stage.CONFIRM or answer.largest < 1.0
    assert outcomes == [Outcome.NO_GAIN] * 8


def test_an_interruption_at_any_point_changes_no_decision() -> None:
    plan = plan_of(100)
    answer, rounds, scores = play(plan, only_rdrop)
    trials = [trial for now in rounds for trial in now.trials]
    for cut in range(0, len(trials), 7):
        known = {trial: scores[trial] for trial in trials[:cut]}
        now = decide(plan, known)
        assert isinstance(now, Round)
        at = next(r for r in rounds if any(trial not in known for trial in r.trials))
        assert now == at
    extra = scores | {(STANDARD, 77): Score(99.9, 99.9)}  # a trial that the policy has not asked for
    assert decide(plan, extra) == answer


def test_a_setting_with_a_failed_trial_leaves() -> None:
    plan, bad = plan_of(), families(Regime.INCONCLUSIVE, branches=False)[1].start
    scores: dict[tuple[Setting, int], Score] = {}
    while not isinstance(now := decide(plan, scores), Answer):
        scores |= {t: Score(None) if t[0] == bad else score(only_rdrop, *t) for t in now.trials}
    assert [e.fate for e in now.events if e.setting == bad] == [Fate.FAILED]
    assert now.best != bad


def test_no_race_without_a_baseline() -> None:
    plan = plan_of()
    scores: Scores = {trial: Score(None) for trial in decide(plan, {}).trials}  # type: ignore[union-attr]
    answer = decide(plan, scores)
    assert isinstance(answer, Answer)
    assert (answer.outcome, answer.stage) == (Outcome.UNDECIDED, Stage.PILOT)


@pytest.mark.parametrize(("stage", "last"), [(Stage.PILOT, Stage.PILOT), (Stage.RACE, Stage.RACE)])
def test_stopping_after_a_stage(stage: Stage, last: Stage) -> None:
    answer, rounds, _ = play(plan_of(stop_after=stage), only_rdrop)
    assert rounds[-1].stage == last
    assert answer.stage == stage
    assert answer.outcome == Outcome.UNDECIDED


def test_costs_are_counted_in_the_unit_of_the_budget() -> None:
    plan = plan_of(1500)
    scores: dict[tuple[Setting, int], Score] = {}
    rounds = []
    while not isinstance(now := decide(plan, scores), Answer):
        rounds.append(now)
        for setting, seed in now.trials:
            value = score(only_rdrop, setting, seed)
            scores[setting, seed] = Score(value.val, value.test, 30.0 if setting.family == "rdrop" else 10.0)
    assert now.spent == sum(each.cost for each in scores.values()) <= 1500
    assert now.cost == pytest.approx(3.0)
    before = sum(scores[t].cost for r in rounds if r.stage != Stage.CONFIRM for t in r.trials)
    assert before <= (1 - CONFIRM_SHARE) * 1500 + 12 * 10  # and seeds of the baseline, for the estimate of the gain


def test_the_smallest_budget_ends_in_an_answer() -> None:
    fewest = fewest_trials(plan_of())
    answer, _, scores = play(plan_of(fewest), only_rdrop)
    assert len(scores) <= fewest
    assert answer.outcome in Outcome


def test_an_unaffordable_confirmation_is_not_begun() -> None:
    answer, rounds, _ = play(plan_of(60), lambda s: 0.25 if s.family == "rdrop" else 0.0)
    assert answer.outcome != Outcome.GAIN
    if answer.stage == Stage.RACE and answer.needed is not None:
        assert answer.needed > 60
        assert rounds[-1].stage == Stage.RACE


@pytest.mark.parametrize(("gain", "regime"), [(3.0, "overfitting"), (-3.0, "underfitting"), (0.0, "inconclusive")])
def test_the_pilot_finds_the_regime_and_what_the_budget_can_detect(gain: float, regime: str) -> None:
    answer, _, _ = play(plan_of(stop_after=Stage.PILOT), lambda s: gain if s == STANDARD else 0.0)
    found = answer.findings
    assert found is not None
    assert found.regime == regime
    assert len(found.gains) == len(found.validation) == 4
    assert found.seeds == 22  # 30 % of 150 trials are 45, two a seed
    assert found.detectable == pytest.approx(smallest_detectable(found.spread or 0.0, 22))
    assert found.interval is not None
    assert (found.interval[0] > 0, found.interval[1] < 0) == (regime == "overfitting", regime == "underfitting")


def test_the_overhead_of_rounds_is_counted() -> None:
    answer, rounds, scores = play(plan_of(300, overhead=5.0), only_rdrop)
    assert answer.spent == len(scores) + 5 * len(rounds) <= 300


def test_families_by_regime_and_sites() -> None:
    names = {f.name for f in families(Regime.UNDERFITTING)}
    assert names == {"early_dropout", "early_stochastic_depth"}
    assert {f.name for f in families(Regime.OVERFITTING, branches=False)} == {"dropout", "rdrop", "late_dropout"}
    assert all("stochastic_depth" in f.name for f in families(Regime.INCONCLUSIVE, dropouts=False))
    short = families(Regime.UNDERFITTING, steps=20)[0].axes[1]
    assert short.values[short.lowest] * 20 >= 2 > short.values[short.lowest - 1] * 20
    assert math.prod([5, 6]) == next(f.size for f in FAMILIES if f.name == "rdrop")
