"""From finished trials to the next trials or the answer: a pure function, `decide`.

`policy` is a generator, which yields rounds of trials and is sent their scores. `decide` runs it from the start on the
scores that there are, so that an interrupted choice decides as one that was not.
"""

from collections.abc import Generator

from rdrop_exp.choose.plan import BASELINE, Answer, Outcome, Plan, Round, Stage
from rdrop_exp.choose.stages import compare_with_baseline, confirm, pilot, race
from rdrop_exp.choose.state import Scores, State


def decide(plan: Plan, scores: Scores) -> Round | Answer:
    """The first round with trials that have no score, or the answer; depends on nothing else."""
    steps = policy(plan)
    try:
        now = next(steps)
        while all(key in scores for key in now.keys):
            now = steps.send({key: scores[key] for key in now.keys})
        return now
    except StopIteration as end:
        answer: Answer = end.value
        return answer


def policy(plan: Plan) -> Generator[Round, Scores, Answer]:
    """All rounds of a choice, and its answer."""
    state = State(plan)
    yield from pilot(state)
    if plan.stop_after == Stage.PILOT or state.race is None:
        return state.answer(Outcome.UNDECIDED, Stage.PILOT, reason="trials without noise failed")
    yield from race(state, state.race)
    yield from compare_with_baseline(state, state.race, state.race.leader())
    best = state.race.leader()
    gain = state.expected_gain(best) if best != BASELINE else 0.0
    if gain <= 0 and state.race.largest_gain() < plan.smallest:
        return state.answer(Outcome.NO_GAIN, Stage.RACE, reason="the baseline leads on validation")
    if plan.stop_after == Stage.RACE:
        return state.answer(Outcome.UNDECIDED, Stage.RACE, reason="stopped before the confirmation")
    if best == BASELINE:
        rival = state.race.runner_up()
        if rival is None:
            return state.answer(Outcome.UNDECIDED, Stage.RACE, reason="no other setting has finished")
        yield from compare_with_baseline(state, state.race, rival)
        best = rival
    return (yield from confirm(state, state.race, best, gain))
