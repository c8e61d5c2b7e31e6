"""What `rdrop-choose` says: the pilot's findings, a few lines a round, and the answer as one paragraph."""

import math
from collections.abc import Callable
from statistics import fmean

from rdrop_exp.choose.plan import (
    BASELINE,
    CONFIRM_SEED,
    Answer,
    Event,
    Fate,
    Findings,
    Outcome,
    Plan,
    Regime,
    Round,
    Setting,
    Stage,
)  # fmt: skip
from rdrop_exp.choose.scale import Scale
from rdrop_exp.choose.trials import label
from rdrop_exp.statistics.paired import mean_sd

Amount = Callable[[float], str]
"""A part of the budget in words."""

NAMED = 3
"""Settings set aside in one round that are named, the best first; the others are counted."""


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def why(event: Event, scale: Scale) -> str:
    """Why a setting has left the race."""
    if event.fate == Fate.FAILED or event.against is None:
        return f"{label(event.setting)}: a trial failed"
    gap = f"{scale.signed(event.difference)} {scale.unit}, {counted(event.seeds, 'seed')}"
    if event.fate == Fate.PRUNED:
        gap = f"{scale.signed(event.difference)} {scale.unit} from {label(event.against)}"
        return (
            f"{label(event.setting)}: stopped at {100 * event.share:.0f} % of training, not in the better half ({gap})"
        )
    if event.fate == Fate.DROPPED:
        return f"{label(event.setting)}: dropped, cannot win against {label(event.against)} ({gap})"
    return f"{label(event.setting)}: set aside, the budget does not reach for all ({gap}, from {label(event.against)})"


def findings(found: Findings, plan: Plan, scale: Scale, amount: Amount) -> list[str]:
    """Overfitting or underfitting, with what it is concluded from, and what the budget can detect."""
    lines = []
    if found.gains:
        seeds = counted(len(found.gains), "seed")
        gain = f"{scale.signed(fmean(found.gains))} {scale.unit}{scale.interval(*found.interval or (math.inf,) * 2)}"
        effect = {
            Regime.OVERFITTING: "helps", Regime.UNDERFITTING: "hurts",
            Regime.INCONCLUSIVE: "makes no significant difference",
        }[found.regime]  # fmt: skip
        verdict = f"{str(found.regime).capitalize()}: " if found.regime != Regime.INCONCLUSIVE else ""
        verdict = verdict or "Overfitting or underfitting is not clear yet: "
        lines.append(f"{verdict}{label(plan.standard)} {effect}: {gain} on validation, {seeds}.")
    sd = mean_sd(found.validation)[1]
    level = [f"validation {scale.metric} {scale.plain(fmean(found.validation))}"]
    level += [f"± {sd:.{scale.digits}f} between seeds"] if sd is not None else []
    gap = f", on training batches {scale.plain(fmean(found.train))}" if found.train else ""
    spread = f"; differences vary by {scale.size(found.spread)}" if found.spread else ""
    lines.append(f"Without noise: {' '.join(level)}{gap}{spread}. {found.seconds:.2g} s per trial.")
    if found.detectable is not None:
        power = f"80 % power, {counted(found.seeds, 'fresh seed')}"
        lines.append(f"With {amount(plan.budget)} I can tell differences of {scale.size(found.detectable)} ({power}).")
    elif found.gains:
        lines.append(
            "The pilot shows no spread between seeds." if not found.spread
            else f"{amount(plan.budget)} are too little for a confirmation on fresh seeds."
        )  # fmt: skip
    return lines


def describe(now: Round, plan: Plan, scale: Scale, amount: Amount) -> list[str]:
    """The head of a round: what has been decided, who is in the race, what runs next and what is left."""
    cut = [event for event in now.events if event.fate == Fate.CUT]
    lines = [f"  {why(event, scale)}" for event in now.events if event not in cut[NAMED:]]
    lines += [f"  and {counted(len(cut) - NAMED, 'other')} set aside"] if len(cut) > NAMED else []
    left = f"{amount(max(0.0, plan.budget - now.spent))} left"
    part = f" to {100 * now.share:.0f} % of training" if now.share < 1 else ""
    head = f"[{now.number}] {now.stage}: {counted(len(now.trials), 'trial')}{part}, {left}"
    if now.stage == Stage.RACE and now.leader is not None:
        head += f"; {len(now.racing)} in the race, {label(now.leader)} leads"
    if now.stage == Stage.RACE and (new := entering(now)):
        lines.append(f"  {'first seed' if plan.pauses else 'enters'}: {'; '.join(map(label, new))}")
    first = findings(now.findings, plan, scale, amount) if now.findings else []
    return [*first, *([f"{now.note}."] if now.note else []), head, *lines]


def entering(now: Round) -> list[Setting]:
    """Settings that are new in this round; the baseline gets further seeds also after it has left."""
    new = dict.fromkeys(s for s, n in now.trials if n < CONFIRM_SEED)
    return [s for s in new if s not in now.racing and s != BASELINE]


def paragraph(answer: Answer, plan: Plan, scale: Scale, amount: Amount) -> str:
    """The answer in words."""
    if answer.stage == Stage.PILOT:
        if answer.findings is None:
            return f"No answer: {answer.reason}."
        return " ".join(findings(answer.findings, plan, scale, amount))
    best, base = label(answer.best), label(BASELINE)
    smallest = f"{plan.smallest:g} {scale.unit}"
    cost = f", at {answer.cost:.1f} × its cost" if answer.cost is not None else ""
    if answer.stage == Stage.CONFIRM:
        assert answer.effect is not None
        interval = scale.interval(*answer.interval or (math.inf,) * 2)
        gain = f"{scale.signed(answer.effect)} {scale.unit}{interval}"
        lower = "" if scale.higher_is_better else ", lower is better"
        result = f"{gain} on test over {base}, {answer.seeds} fresh seeds{lower}"
        if answer.outcome == Outcome.GAIN:
            return f"Use {best}: {result}{cost}."
        if answer.outcome == Outcome.NO_GAIN:
            return f"Use {base}: the best alternative, {best}, gains less than {smallest} ({result})."
        return f"Inconclusive within this budget: {best} has {result}. {_more(answer, amount)}"
    if answer.outcome == Outcome.NO_GAIN:
        return f"Use {base}: no setting in the race gains {smallest} or more ({answer.reason})."
    measured = ""
    if answer.effect is not None:
        gain = f"{scale.signed(answer.effect)} {scale.unit}"
        measured = f" ({gain} on validation over {base}, {counted(answer.seeds, 'seed')})"
    bound = f" Gains of up to {scale.size(answer.largest)} are not excluded." if math.isfinite(answer.largest) else ""
    which = "best is" if answer.best == answer.leader else f"{base} leads; the best alternative is"
    return f"Inconclusive within this budget: {which} {best}{measured}; {answer.reason}.{bound} {_more(answer, amount)}"


def _more(answer: Answer, amount: Amount) -> str:
    return f"About {amount(answer.needed)} would be enough." if answer.needed else "Use none until more is known."
