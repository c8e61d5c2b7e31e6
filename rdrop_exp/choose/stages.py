"""The three stages of a choice as generators: rounds of trials out, their scores in."""

import math
from collections.abc import Generator

from rdrop_exp.choose.plan import (
    BASELINE,
    CONFIRM_SEED,
    Answer,
    Findings,
    Outcome,
    Plan,
    Regime,
    Round,
    Setting,
    Stage,
    Trial,
)  # fmt: skip
from rdrop_exp.choose.race import Race
from rdrop_exp.choose.state import Scores, State
from rdrop_exp.choose.within import prune
from rdrop_exp.statistics.paired import mean_sd, t_interval
from rdrop_exp.statistics.power import power, seeds_needed, smallest_detectable
from rdrop_exp.statistics.sequential import PLANNED

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
LEVEL = PLANNED
"""Of the confirmation, which has the planned number of seeds: as in a report."""
POWER, LOWEST_POWER = 0.8, 0.5
"""What the confirmation is planned for, and what it must have where the budget does not reach."""
ESTIMATED = 12
"""Seeds from which the gain is estimated, if the best has as many."""
FEWEST, MOST = 5, 300
"""Seeds of the confirmation."""


def pilot(state: State) -> Generator[Round, Scores, None]:
    """Pairs with and without standard noise, which also begin the race; no race if a trial of the baseline failed."""
    plan, seeds = state.plan, range(state.plan.pilot_seeds)
    settings = [BASELINE, plan.standard]
    scores = yield from state.run(Stage.PILOT, [(s, n) for n in seeds for s in settings])
    values = {s: [v for n in seeds if (v := scores[s, n].val) is not None] for s in settings}
    complete = [s for s in settings if len(values[s]) == len(seeds)]
    both = len(complete) == 2
    gains = [a - b for a, b in zip(values[plan.standard], values[BASELINE], strict=True)] if both else []
    interval = t_interval(gains, LEVEL)
    low, high = interval or (0.0, 0.0)
    regime = Regime.OVERFITTING if low > 0 else Regime.UNDERFITTING if high < 0 else Regime.INCONCLUSIVE
    state.families = {family.name: family for family in plan.families[regime]}
    if BASELINE not in complete:
        return
    state.race = Race(1 + sum(family.size for family in state.families.values()), plan.smallest / 4)
    for setting in complete:
        state.race.add(setting, values[setting])
    spread = mean_sd(gains)[1] if gains else None
    number = state.affordable(plan.standard, CONFIRM_SHARE * plan.budget)
    state.findings = Findings(
        regime=regime, gains=tuple(gains), interval=interval, spread=spread, validation=tuple(values[BASELINE]),
        train=tuple(v for n in seeds if (v := scores[BASELINE, n].train) is not None),
        seconds=mean_sd([each.seconds for each in scores.values()])[0], seeds=number,
        detectable=smallest_detectable(spread, number, LEVEL, POWER) if spread else None,
    )  # fmt: skip


def race(state: State, race: Race) -> Generator[Round, Scores, None]:
    """Until one setting is left, nothing in the race can be better than the leader, or the budget is spent."""
    limit = state.plan.budget * (1 - CONFIRM_SHARE)
    explore = state.spent + EXPLORE_SHARE * (limit - state.spent)
    entering = [f.start for f in state.families.values() if f.start not in race.values]
    first = True
    while race.racing:
        trials = [(s, n) for s in entering for n in range(RUNGS[0])]
        if not trials or state.spent + state.price(trials) > (limit if first else explore):
            trials = climb(state, race, limit)
        if not trials:
            return
        if state.plan.pauses and not first and trials[0][0] in entering:
            going = yield from prune(state, race, entering)
            trials = [(s, n) for s, n in trials if s in going]
        if trials:
            yield from measure(state, race, trials)
        first = False
        state.events += race.drop(state.number)
        leader = race.leader()
        if all(race.upper(s, leader) < race.tolerance for s in race.racing if s != leader):
            return
        entering = entrants(state, race) if state.spent < explore else []


def compare_with_baseline(state: State, race: Race, best: Setting) -> Generator[Round, Scores, None]:
    """The baseline may have left early: seeds enough to estimate the gain of the best, for the confirmation."""
    have, wanted = race.seeds(BASELINE), min(race.seeds(best), ESTIMATED)
    if have < wanted:
        note = "The gain of the best is estimated on more seeds of the baseline"
        yield from measure(state, race, [(BASELINE, n) for n in range(have, wanted)], note)


def measure(state: State, race: Race, trials: list[Trial], note: str = "") -> Generator[Round, Scores, None]:
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
        if trials and state.price(trials) <= (limit - state.spent) / rounds:
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


def confirm(state: State, race: Race, best: Setting, gain: float) -> Generator[Round, Scores, Answer]:
    """The best and the baseline on fresh seeds, their number fixed here; only here is the test set looked at.

    `gain`: expected of the best. Where none is, the question is whether it can be as large as is worth having.
    """
    plan, smallest = state.plan, state.plan.smallest
    lead, sd = mean_sd(race.differences(best, BASELINE))
    distance = gain if gain > 0 else smallest - min(0.0, lead)
    wanted = max(FEWEST, min(seeds_needed(distance, sd, LEVEL, POWER) or MOST, MOST) if sd else FEWEST)
    number = min(wanted, state.affordable(best, plan.budget - state.spent))
    chance = power(distance / sd, number, LEVEL) if sd else 1.0
    price = state.cost(BASELINE) + state.cost(best)
    enough = max(state.spent, wanted * price / CONFIRM_SHARE)
    if number < wanted and (number < FEWEST or chance < LOWEST_POWER):
        why = f"its confirmation needs {wanted} seeds, and the budget reaches for {number}"
        return state.answer(Outcome.UNDECIDED, Stage.RACE, best, reason=why, needed=enough)
    aim = "to find the gain expected" if gain > 0 else f"to exclude a gain of {smallest:g}"
    note = f"{number} fresh seeds of the best and the baseline ({100 * chance:.0f} % power {aim})"
    trials = [(s, CONFIRM_SEED + n) for n in range(number) for s in (BASELINE, best)]
    scores = yield from state.run(Stage.CONFIRM, trials, note)
    pairs = [(scores[best, n], scores[BASELINE, n]) for _, n in trials[::2]]
    differences = [one.test - other.test for one, other in pairs if one.val is not None and other.val is not None]
    mean, sd = mean_sd(differences) if differences else (0.0, None)
    low, high = t_interval(differences, LEVEL) or (-math.inf, math.inf)
    outcome = Outcome.GAIN if low > 0 else Outcome.NO_GAIN if high < smallest else Outcome.UNDECIDED
    more = seeds_needed(mean, sd, LEVEL, POWER) if outcome == Outcome.UNDECIDED and mean > 0 else None
    return state.answer(
        outcome, Stage.CONFIRM, best, effect=mean, interval=(low, high), seeds=len(differences),
        needed=None if more is None else max(state.spent, more * price / CONFIRM_SHARE),
    )  # fmt: skip
