"""The probe's trials: pairs with and without standard noise, in the given setting and in two variations of it."""

import math
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from rdrop_exp.config.options import Model, Options
from rdrop_exp.probe.budget import Budget

Overrides = dict[str, Any]
DATA_FRACTION = 0.3
"""Of the training set, for the trend over data; one of the paper's four (its figures 3 to 5: 10, 30, 50, 100 %)."""
SIZES = (
    ("atto", "femto", "pico", "nano", "tiny", "small", "base", "large", "huge"),
    ("s32", "b32", "l32"), ("s16", "b16", "l16"),
    tuple(f"resnet{depth}" for depth in (10, 14, 18, 26, 34, 50, 101, 152)),
)  # fmt: skip
"""Size words in timm's model names, smallest first."""


class Condition(StrEnum):
    """What a pair of trials is run on."""

    GIVEN = "given setting"
    LESS_DATA = f"{DATA_FRACTION:.0%} of the data"
    SMALLER_MODEL = "smaller model"


@dataclass(frozen=True, slots=True)
class StandardNoise:
    """What "standard dropout" is for a model: dropout if the model has sites for it, otherwise stochastic depth."""

    regularizer: str
    option: str
    rates: tuple[float, ...]
    """To try, lowest first."""

    def overrides(self, rate: float) -> Overrides:
        return (
            {"regularizer": self.regularizer, f"regularizer.{self.option}": rate} if rate else {"regularizer": "none"}
        )


DROPOUT = StandardNoise("dropout", "dropout", (0.1, 0.3))
STOCHASTIC_DEPTH = StandardNoise("stochastic_depth", "drop_path", (0.1, 0.3))


@dataclass(frozen=True, slots=True)
class ProbeTrial:
    condition: Condition
    rate: float
    """0: without noise."""
    seed: int
    overrides: Overrides


def probe_trials(
    o: Options, budget: Budget, noise: StandardNoise, per_epoch: int, train_items: int
) -> list[ProbeTrial]:
    """All trials, pairs together and seed by seed, so that comparisons are possible early."""
    seeds = budget.seeds
    base = shortened(o, budget, per_epoch)
    variants = [
        (Condition.GIVEN, base, seeds.base),
        (Condition.LESS_DATA, base | less_data(o, budget, per_epoch, train_items), seeds.less_data),
        (Condition.SMALLER_MODEL, base | (smaller(o.model) or {}), seeds.smaller_model),
    ]
    trials = []
    for i in range(max(seeds.base, seeds.less_data, seeds.smaller_model)):
        seed = o.seed + i
        for condition, overrides, count in variants:
            rates = (0.0, *noise.rates[: 2 if condition == Condition.GIVEN and i < seeds.higher_rate else 1])
            if i < count:
                trials += [
                    ProbeTrial(condition, rate, seed, overrides | noise.overrides(rate) | {"seed": seed})
                    for rate in rates
                ]
    return trials


def total_steps(o: Options, per_epoch: int) -> int:
    return o.schedule.steps or o.schedule.epochs * per_epoch


def shortened(o: Options, budget: Budget, per_epoch: int) -> Overrides:
    """The options that shorten training as the budget requires; none at full length."""
    if budget.length_scale >= 1:
        return {}
    steps = max(1, round(budget.length_scale * total_steps(o, per_epoch)))
    return {"schedule.steps": steps} | _warmup(o, budget, per_epoch)


def _warmup(o: Options, budget: Budget, per_epoch: int) -> Overrides:
    s = o.schedule
    steps = s.warmup_steps if s.warmup_steps is not None else round(s.warmup_epochs * per_epoch)
    return {"schedule.warmup_steps": round(budget.length_scale * steps)} if steps else {}


def less_data(o: Options, budget: Budget, per_epoch: int, train_items: int) -> Overrides:
    """A part of the training set for as many steps, as in the paper, with as many validations."""
    steps = max(1, round(budget.length_scale * total_steps(o, per_epoch)))
    size = o.optimizer.batch_size
    steps_per_epoch = max(1, round(train_items * DATA_FRACTION)) // size or 1
    every = max(1, round(o.validate_every * per_epoch / steps_per_epoch))
    fraction = {"dataset.fraction": round(o.dataset.fraction * DATA_FRACTION, 6), "schedule.steps": steps}
    return fraction | _warmup(o, budget, per_epoch) | ({"validate_every": every} if every > 1 else {})


def smaller(model: Model) -> Overrides | None:
    """Overrides for a smaller model of the same family: half the width, or timm's next smaller one; None if unknown."""
    import timm

    if model.pretrained or model.checkpoint:
        return None
    args = model.args
    if "embed_dim" in args and isinstance(args["embed_dim"], int):
        half = args["embed_dim"] // 2
        return {"++model.args.embed_dim": half} if half and half % args.get("num_heads", math.inf) == 0 else None
    if "channels" in args and isinstance(args["channels"], list):
        return {"++model.args.channels": [max(1, c // 2) for c in args["channels"]]}
    if args:
        return None
    for words in SIZES:
        for i, word in enumerate(words):
            pattern = rf"(?<![a-z]){word}(?![a-z0-9])"
            if re.search(pattern, model.name):
                names = [re.sub(pattern, other, model.name).split(".")[0] for other in reversed(words[:i])]
                known = next((name for name in names if timm.is_model(name)), None)
                return {"model": "timm", "model.name": known} if known else None
    return None


def possible(o: Options, train_items: int) -> dict[str, bool]:
    """Which trends can be measured: is there enough data to reduce it, and a known smaller model?"""
    enough = round(train_items * DATA_FRACTION) >= 2 * o.optimizer.batch_size and not o.dataset.repeat_batch
    return {"less_data": enough, "smaller": smaller(o.model) is not None}


def with_rates(noise: StandardNoise, rates: tuple[float, ...]) -> StandardNoise:
    return replace(noise, rates=tuple(sorted(rates))) if rates else noise
