"""From finished trials to the next trials or the answer: a pure function, `decide`.

`policy` is a generator, which yields rounds of trials and is sent their scores. `decide` runs it from the start on the
scores that there are, so that an interrupted choice decides as one that was not.
"""

from collections.abc import Generator, Mapping

from rdrop_exp.choose.plan import BASELINE, Answer, Outcome, Plan, Round, Score, Stage, Trial
from rdrop_exp.choose.state import State, compare_with_baseline, confirm, pilot, race

Scores = Mapping[Trial, Score]


def decide(plan: Plan, scores: Scores) -> Round | Answer:
    """The first round with trials that have no score, or the answer; depends on nothing else."""
    steps = policy(plan)
    try:
        now = next(steps)
        while all(trial in scores for trial in now.trials):
            now = steps.send({trial: scores[trial] for trial in now.trials})
        return now
    except StopIteration as end:
        answer: Answer = end.value
        return answer


def policy(plan: Plan) -> Generator[Round, Scores, Answer]:
    """All rounds of a choice, and its answer."""
    state = State(plan)
    verdict = yield from pilot(state)
    if plan.stop_after == Stage.PILOT or state.race is None:
        return state.answer(Outcome.UNDECIDED, Stage.PILOT, reason=verdict.reason)
    yield from race(state, state.race, verdict.reason)
    yield from compare_with_baseline(state, state.race)
    best = state.race.leader()
    gain = state.expected_gain(best)
    if best == BASELINE or gain <= 0:
        why = "the baseline is best on validation" if best == BASELINE else "its lead on validation is within chance"
        nothing = state.race.largest_gain() < plan.smallest
        return state.answer(Outcome.NO_GAIN if nothing else Outcome.UNDECIDED, Stage.RACE, reason=why)
    if plan.stop_after == Stage.RACE:
        return state.answer(Outcome.UNDECIDED, Stage.RACE, reason="stopped before the confirmation")
    return (yield from confirm(state, state.race, best, gain))
