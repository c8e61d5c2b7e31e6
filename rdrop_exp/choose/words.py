"""What `rdrop-choose` says: a few lines a round, and the answer as one paragraph."""

import math
from collections.abc import Callable

from rdrop_exp.choose.plan import BASELINE, CONFIRM_SEED, Answer, Event, Fate, Outcome, Plan, Round, Stage
from rdrop_exp.choose.trials import label

Amount = Callable[[float], str]
"""A part of the budget in words."""


def signed(points: float) -> str:
    return f"{points:+.2f}".replace("-", "−")


def why(event: Event) -> str:
    """Why a setting has left the race."""
    if event.fate == Fate.FAILED or event.against is None:
        return f"{label(event.setting)}: a trial failed"
    gap = f"{signed(event.difference)} points, {event.seeds} seed{'s' if event.seeds != 1 else ''}"
    if event.fate == Fate.DROPPED:
        return f"{label(event.setting)}: dropped, cannot win against {label(event.against)} ({gap})"
    return f"{label(event.setting)}: set aside, the budget does not reach for all ({gap}, from {label(event.against)})"


def describe(now: Round, plan: Plan, amount: Amount) -> list[str]:
    """The head of a round: what has been decided, who is in the race, what runs next and what is left."""
    lines = [f"  {why(event)}" for event in now.events]
    left = f"{amount(max(0.0, plan.budget - now.spent))} left"
    counted = f"{len(now.trials)} trial{'s' if len(now.trials) != 1 else ''}"
    head = f"[{now.number}] {now.stage}: {counted}, {left}"
    if now.stage == Stage.RACE and now.leader is not None:
        head += f"; {len(now.racing)} in the race, {label(now.leader)} leads"
    entering = [s for s in dict.fromkeys(s for s, n in now.trials if n < CONFIRM_SEED) if s not in now.racing]
    if now.stage == Stage.RACE and entering:
        lines += [f"  enters: {label(s)}" for s in entering]
    return [*([f"{now.note}."] if now.note else []), head, *lines]


def paragraph(answer: Answer, plan: Plan, amount: Amount) -> str:
    """The answer in words."""
    if answer.stage == Stage.PILOT:
        return f"{str(answer.regime).capitalize()}: {answer.reason}."
    best, base = label(answer.best), label(BASELINE)
    cost = f", at {answer.cost:.1f} × its cost" if answer.cost is not None else ""
    if answer.stage == Stage.CONFIRM:
        assert answer.effect is not None
        low, high = answer.interval or (-math.inf, math.inf)
        bounds = f" [{signed(low)}, {signed(high)}]" if math.isfinite(low) else ""
        result = f"{signed(answer.effect)} points{bounds} on test over {base}, {answer.seeds} fresh seeds"
        if answer.outcome == Outcome.GAIN:
            return f"Use {best}: {result}{cost}."
        if answer.outcome == Outcome.NO_GAIN:
            return f"Use {base}: the best, {best}, gains less than {plan.smallest:g} points ({result})."
        return f"Inconclusive within this budget: {best} has {result}. {_more(answer, amount)}"
    measured = ""
    if answer.effect is not None:
        measured = f" ({signed(answer.effect)} points on validation over {base}, {answer.seeds} seeds)"
    if answer.outcome == Outcome.NO_GAIN:
        return f"Use {base}: no setting in the race gains {plan.smallest:g} points or more ({answer.reason})."
    bound = f" Gains of up to {answer.largest:.1f} points are not excluded." if math.isfinite(answer.largest) else ""
    return f"Inconclusive within this budget: best is {best}{measured}; {answer.reason}.{bound} {_more(answer, amount)}"


def _more(answer: Answer, amount: Amount) -> str:
    return f"About {amount(answer.needed)} would be enough." if answer.needed else "Use none until more is known."
