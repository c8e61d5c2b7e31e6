"""The probe's trials: pairs with and without standard noise, on the user's own setting and on variations of it."""

import math
import re
from dataclasses import dataclass, replace
from typing import Any

from rdrop_exp.config.options import Model, Options
from rdrop_exp.probe.budget import Plan

Overrides = dict[str, Any]
LESS = 0.3
"""Share of the training set in the trend over data, one of the paper's four (its figures 3 to 5: 10, 30, 50, 100 %)."""
SIZES = (
    ("atto", "femto", "pico", "nano", "tiny", "small", "base", "large", "huge"),
    ("s32", "b32", "l32"), ("s16", "b16", "l16"),
    tuple(f"resnet{depth}" for depth in (10, 14, 18, 26, 34, 50, 101, 152)),
)  # fmt: skip
"""Words for size in timm's names, smallest first."""


@dataclass(frozen=True, slots=True)
class StandardNoise:
    """What "standard dropout" is for a model: dropout where it has places for it, else stochastic depth."""

    regularizer: str
    option: str
    rates: tuple[float, ...]
    """To try, gentlest first."""

    def overrides(self, rate: float) -> Overrides:
        return (
            {"regularizer": self.regularizer, f"regularizer.{self.option}": rate} if rate else {"regularizer": "none"}
        )


DROPOUT = StandardNoise("dropout", "dropout", (0.1, 0.3))
STOCHASTIC_DEPTH = StandardNoise("stochastic_depth", "drop_path", (0.1, 0.3))


@dataclass(frozen=True, slots=True)
class Run:
    """One trial of the probe. `arm`: own, less (data) or smaller (model); `rate` 0 is without noise."""

    arm: str
    rate: float
    seed: int
    overrides: Overrides


def runs(o: Options, plan: Plan, noise: StandardNoise, per_epoch: int, train_items: int) -> list[Run]:
    """All trials, partners next to one another and seed by seed, so that what is done first can be compared first."""
    made = plan.layout
    own = shortened(o, plan, per_epoch)
    less = own | less_data(o, plan, per_epoch, train_items)
    small = own | (smaller(o.model) or {})
    found = []
    for seed in range(o.seed, o.seed + max(made.seeds, made.less_data, made.smaller)):
        number = seed - o.seed
        arms = [("own", own, made.seeds), ("less", less, made.less_data), ("smaller", small, made.smaller)]
        for arm, overrides, seeds in arms:
            rates = (0.0, *noise.rates[: 2 if arm == "own" and number < made.strong else 1])
            found += [
                Run(arm, rate, seed, overrides | noise.overrides(rate) | {"seed": seed})
                for rate in rates
                if number < seeds
            ]
    return found


def total_steps(o: Options, per_epoch: int) -> int:
    return o.schedule.steps or o.schedule.epochs * per_epoch


def shortened(o: Options, plan: Plan, per_epoch: int) -> Overrides:
    """The options that cut training to the plan's share of it; none where it keeps its length."""
    if plan.share >= 1:
        return {}
    return {"schedule.steps": max(1, round(plan.share * total_steps(o, per_epoch)))} | _warmup(o, plan, per_epoch)


def _warmup(o: Options, plan: Plan, per_epoch: int) -> Overrides:
    s = o.schedule
    steps = s.warmup_steps if s.warmup_steps is not None else round(s.warmup_epochs * per_epoch)
    return {"schedule.warmup_steps": round(plan.share * steps)} if steps else {}


def less_data(o: Options, plan: Plan, per_epoch: int, train_items: int) -> Overrides:
    """A part of the training set for as many steps, as in the paper, validated as often."""
    steps = max(1, round(plan.share * total_steps(o, per_epoch)))
    size = o.optimizer.batch_size
    epochs = max(1, round(train_items * LESS)) // size or 1
    every = max(1, round(o.validate_every * per_epoch / epochs))
    fraction = {"dataset.fraction": round(o.dataset.fraction * LESS, 6), "schedule.steps": steps}
    return fraction | _warmup(o, plan, per_epoch) | ({"validate_every": every} if every > 1 else {})


def smaller(model: Model) -> Overrides | None:
    """Overrides that make a smaller model of the same family: half the width, or timm's next smaller name."""
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
                found = next((name for name in names if timm.is_model(name)), None)
                return {"model": "timm", "model.name": found} if found else None
    return None


def possible(o: Options, train_items: int) -> dict[str, bool]:
    """Which trends this setting allows: enough data for a part of it, and a smaller model that is known."""
    enough = round(train_items * LESS) >= 2 * o.optimizer.batch_size and not o.dataset.repeat_batch
    return {"less_data": enough, "smaller": smaller(o.model) is not None}


def with_rates(noise: StandardNoise, rates: tuple[float, ...]) -> StandardNoise:
    return replace(noise, rates=tuple(sorted(rates))) if rates else noise
