"""The three stages of a choice as generators: rounds of trials out, their scores in."""

import math
from collections.abc import Generator, Mapping
from typing import Any

from rdrop_exp.choose.plan import (
    BASELINE,
    CONFIRM_SEED,
    Answer,
    Event,
    Family,
    Outcome,
    Plan,
    Round,
    Score,
    Setting,
    Stage,
    Trial,
)  # fmt: skip
from rdrop_exp.choose.race import TOLERANCE, Race
from rdrop_exp.probe.verdict import Regime, Verdict, effects, judge
from rdrop_exp.statistics.paired import mean_sd, t_interval
from rdrop_exp.statistics.power import power, seeds_needed, smallest_detectable

Scores = Mapping[Trial, Score]
Steps = Generator[Round, Scores, Any]

CONFIRM_SHARE = 0.3
"""Of the budget, kept for the confirmation."""
EXPLORE_SHARE = 0.6
"""Of the race's budget, until which further settings enter."""
RUNGS = (1, 2, 3, 5, 8, 12, 18, 27, 40, 60, 90, 135, 200, 300, 450, 700)
"""Seeds of a setting after its first, second, … round."""
ENTRANTS = 10
"""Settings that enter in one round, at most."""
HOPE = 1.5
"""Standard deviations above the mean by which a setting that has not raced is judged."""
LEVEL = 0.05
"""Of the confirmation: one test, at a number of seeds that is fixed beforehand."""
POWER, LOWEST_POWER = 0.8, 0.5
"""What the confirmation is planned for, and what it must have where the budget does not reach."""
ESTIMATED = 12
"""Seeds from which the gain is estimated, if the best has as many."""
FEWEST, MOST = 5, 300
"""Seeds of the confirmation."""


class State:
    """What is known between rounds."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.regime = Regime.INCONCLUSIVE
        self.families: dict[str, Family] = {}
        self.costs: dict[Setting, list[float]] = {}
        self.spent = 0.0
        self.number = 0
        self.events: list[Event] = []
        self.told = 0
        self.race: Race | None = None

    def run(self, stage: Stage, trials: list[Trial], note: str = "") -> Generator[Round, Scores, Scores]:
        """One round; its costs are counted."""
        self.number += 1
        news, self.told = self.events[self.told :], len(self.events)
        racing = list(self.race.racing) if self.race else []
        scores = yield Round(
            stage=stage, number=self.number, trials=trials, racing=racing, events=news, spent=self.spent, note=note,
            leader=self.race.leader() if self.race else None,
        )  # fmt: skip
        for (setting, _), score in scores.items():
            self.costs.setdefault(setting, []).append(score.cost)
            self.spent += score.cost
        return scores

    def cost(self, setting: Setting) -> float:
        """Of a trial of the setting: the mean of its own, or else of the baseline's times the family's factor."""
        if known := self.costs.get(setting):
            return sum(known) / len(known)
        base = self.costs.get(BASELINE, [1.0])
        factor = self.families[setting.family].cost if setting.family in self.families else 1.0
        return factor * sum(base) / len(base)

    def affordable(self, setting: Setting, budget: float) -> int:
        """Seeds of the setting and of the baseline."""
        return max(0, int(budget / (self.cost(BASELINE) + self.cost(setting))))

    def enough(self, seeds: int, price: float) -> float:
        """Budget whose part for the confirmation reaches for so many seeds, however much the race uses."""
        return max(self.spent, seeds * price / CONFIRM_SHARE)

    def expected_gain(self, best: Setting) -> float:
        """Of the best over the baseline on new seeds: its lead, shrunken because it is the best of many.

        d · max(0, 1 − SE²/d²), the positive-part estimate of James and Stein (1961).
        """
        assert self.race is not None
        differences = self.race.differences(best, BASELINE)
        mean, sd = mean_sd(differences)
        return mean * max(0.0, 1 - (sd or 0.0) ** 2 / len(differences) / mean**2) if mean > 0 else 0.0

    def answer(self, outcome: Outcome, stage: Stage, **known: Any) -> Answer:
        best = self.race.leader() if self.race else BASELINE
        if self.race and stage == Stage.RACE and best != BASELINE:
            differences = self.race.differences(best, BASELINE)
            known = {"effect": mean_sd(differences)[0], "seeds": len(differences), **known}
        return Answer(
            outcome=outcome, stage=stage, regime=self.regime, best=best, spent=self.spent, events=tuple(self.events),
            largest=self.race.largest_gain() if self.race else math.inf,
            cost=self.cost(best) / self.cost(BASELINE), **known,
        )  # fmt: skip


def pilot(state: State) -> Generator[Round, Scores, Verdict]:
    """Pairs with and without standard noise, which also begin the race; no race if a trial of the baseline failed."""
    plan, seeds = state.plan, range(state.plan.pilot_seeds)
    settings = [BASELINE, plan.standard]
    scores = yield from state.run(Stage.PILOT, [(s, n) for n in seeds for s in settings])
    values = {s: [v for n in seeds if (v := scores[s, n].val) is not None] for s in settings}
    complete = [s for s in settings if len(values[s]) == len(seeds)]
    pairs = zip(values[plan.standard], values[BASELINE], strict=True) if len(complete) == 2 else ()
    verdict = judge(effects({plan.rate: [(a - b) / 100 for a, b in pairs]}))
    state.regime = verdict.regime
    state.families = {family.name: family for family in plan.families[verdict.regime]}
    if BASELINE in complete:
        state.race = Race(1 + sum(family.size for family in state.families.values()))
        for setting in complete:
            state.race.add(setting, values[setting])
    return verdict


def race(state: State, race: Race, reason: str) -> Generator[Round, Scores, None]:
    """Until one setting is left, nothing in the race can be better than the leader, or the budget is spent.

    `reason`: of the pilot's regime.
    """
    limit = state.plan.budget * (1 - CONFIRM_SHARE)
    explore = state.spent + EXPLORE_SHARE * (limit - state.spent)
    entering = [f.start for f in state.families.values() if f.start not in race.values]
    note = f"{str(state.regime).capitalize()}: {reason}. {outlook(state, race)}"
    while race.racing:
        trials = [(s, n) for s in entering for n in range(RUNGS[0])]
        price = sum(state.cost(s) for s, _ in trials)
        if not trials or state.spent + price > (limit if note else explore):
            trials = climb(state, race, limit)
        if not trials:
            return
        yield from measure(state, race, trials, note)
        note = ""
        state.events += race.drop(state.number)
        leader = race.leader()
        if all(race.upper(s, leader) < TOLERANCE for s in race.racing if s != leader):
            return
        entering = entrants(state, race) if state.spent < explore else []


def compare_with_baseline(state: State, race: Race) -> Generator[Round, Scores, None]:
    """The baseline may have left early: seeds enough to estimate the gain of the best, for the confirmation."""
    have, wanted = race.seeds(BASELINE), min(race.seeds(race.leader()), ESTIMATED)
    if have < wanted:
        note = "The gain of the best is estimated on more seeds of the baseline"
        yield from measure(state, race, [(BASELINE, n) for n in range(have, wanted)], note)


def measure(state: State, race: Race, trials: list[Trial], note: str) -> Generator[Round, Scores, None]:
    scores = yield from state.run(Stage.RACE, trials, note)
    for setting in dict.fromkeys(s for s, _ in trials):
        values = [scores[s, n].val for s, n in trials if s == setting]
        if None in values:
            state.events.append(race.fail(setting, state.number))
        else:
            race.add(setting, [v for v in values if v is not None])


def climb(state: State, race: Race, limit: float) -> list[Trial]:
    """More seeds for those in the race that have fewest; the better half stays where the budget does not reach for all.

    The rest of the budget is divided evenly over the rounds in which halving leaves one.
    """
    while True:
        target = next((n for n in RUNGS if n > min(map(race.seeds, race.racing))), 0)
        trials = [(s, n) for s in race.racing for n in range(race.seeds(s), target)]
        rounds = max(1, math.ceil(math.log2(len(race.racing))))
        if sum(state.cost(s) for s, _ in trials) <= (limit - state.spent) / rounds:
            return trials
        if len(race.racing) <= 2:
            return []
        state.events += race.cut(math.ceil(len(race.racing) / 2), state.number)


def entrants(state: State, race: Race) -> list[Setting]:
    """The most promising settings of the regularizers in the race: by the upper end of what is expected of them.

    Near a published value that does well, its half and its double come first.
    """
    names = dict.fromkeys(s.family for s in race.racing if s.family in state.families)
    new = [s for name in names for s in state.families[name].settings() if s not in race.values and s not in race.left]
    estimates = race.estimates(new)
    hopes = {s: estimates[s][0] + HOPE * estimates[s][1] for s in new}
    good = [s for s in hopes if hopes[s] > estimates[race.leader()][0]]
    return sorted(good, key=lambda s: (-hopes[s], s))[:ENTRANTS]


def fewest_trials(plan: Plan) -> int:
    """For the pilot and the published settings within the race's part of the budget, and FEWEST seeds confirmed."""
    starts = max(len(families) for families in plan.families.values())
    race = (2 * plan.pilot_seeds + RUNGS[0] * starts) / (1 - CONFIRM_SHARE)
    return math.ceil(max(race, 2 * FEWEST / CONFIRM_SHARE))


def outlook(state: State, race: Race) -> str:
    """What the confirmation will be able to detect, by the spread in the pilot."""
    standard = state.plan.standard
    sd = mean_sd(race.differences(standard, BASELINE))[1] if standard in race.values else None
    n = state.affordable(standard, CONFIRM_SHARE * state.plan.budget)
    smallest = smallest_detectable(sd, n, LEVEL) if sd else None
    if smallest is None:
        return "The pilot shows no spread between seeds" if not sd else "This budget does not reach for a confirmation"
    return f"This budget can confirm a gain of {smallest:.1f} points or more (spread of differences {sd:.1f} points)"


def confirm(state: State, race: Race, best: Setting, gain: float) -> Generator[Round, Scores, Answer]:
    """The best and the baseline on fresh seeds, their number fixed here; only here is the test set looked at."""
    sd = mean_sd(race.differences(best, BASELINE))[1]
    wanted = max(FEWEST, min(seeds_needed(gain, sd, LEVEL, POWER) or MOST, MOST) if sd else FEWEST)
    number = min(wanted, state.affordable(best, state.plan.budget - state.spent))
    chance = power(gain / sd, number, LEVEL) if sd else 1.0
    price = state.cost(BASELINE) + state.cost(best)
    if number < wanted and (number < FEWEST or chance < LOWEST_POWER):
        why = f"its confirmation needs {wanted} seeds, and the budget reaches for {number}"
        return state.answer(Outcome.UNDECIDED, Stage.RACE, reason=why, needed=state.enough(wanted, price))
    note = f"{number} fresh seeds of the best and the baseline ({100 * chance:.0f} % power for {gain:.1f} points)"
    trials = [(s, CONFIRM_SEED + n) for n in range(number) for s in (BASELINE, best)]
    scores = yield from state.run(Stage.CONFIRM, trials, note)
    pairs = [(scores[best, n], scores[BASELINE, n]) for _, n in trials[::2]]
    differences = [one.test - other.test for one, other in pairs if one.val is not None and other.val is not None]
    mean, sd = mean_sd(differences) if differences else (0.0, None)
    low, high = t_interval(differences, LEVEL) or (-math.inf, math.inf)
    outcome = Outcome.GAIN if low > 0 else Outcome.NO_GAIN if high < state.plan.smallest else Outcome.UNDECIDED
    more = seeds_needed(mean, sd, LEVEL, POWER) if outcome == Outcome.UNDECIDED and mean > 0 else None
    return state.answer(
        outcome, Stage.CONFIRM, effect=mean, interval=(low, high), seeds=len(differences), power=chance,
        needed=None if more is None else state.enough(more, price),
    )  # fmt: skip
