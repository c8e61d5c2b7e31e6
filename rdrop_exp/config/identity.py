"""What makes a set of options valid, and two trials the same.

`from_dict` checks what Hydra composed, `canonical` resets the options that cannot matter, and `identity` hashes the
ones that can change the result. The options themselves are in `options.py`.
"""

import dataclasses
import hashlib
import json
from typing import Any

from rdrop_exp.config.options import Analysis, Dataset, Logger, Model, Optimizer, Options, Peer, Regularizer, Schedule
from rdrop_exp.config.schema import OptionError, from_plain, nearest, runtime_fields

__all__ = [
    "Analysis",
    "Dataset",
    "Logger",
    "Model",
    "Optimizer",
    "Options",
    "Peer",
    "Regularizer",
    "Schedule",
    "canonical",
    "check",
    "descriptive_name",
    "from_dict",
    "identity",
    "readable_name",
]


def from_dict(values: dict[str, Any]) -> Options:
    """Checked options from nested plain values; `OptionError` in one sentence for anything that does not fit."""
    options: Options = from_plain(Options, values)
    check(options)
    return options


def check(options: Options) -> None:
    """Refuse combinations that could not mean what they say."""
    from rdrop_exp.config.schedules import WHEN  # which imports this module

    r, s = options.regularizer, options.schedule
    if r.when not in WHEN:
        raise OptionError(f"regularizer.when={r.when} is not a choice{nearest(r.when, WHEN)}")
    if r.when in ("early", "late"):
        if r.cutoff_epoch is None and r.cutoff_share is None:
            raise OptionError(f"regularizer.when={r.when} needs regularizer.cutoff_epoch (or regularizer.cutoff_share)")
        if r.cutoff_epoch is not None and s.steps is None and r.cutoff_epoch > s.epochs:
            raise OptionError(
                f"regularizer.cutoff_epoch={r.cutoff_epoch:g} lies beyond the last epoch: set it to at most"
                f" schedule.epochs={s.epochs}"
            )
    noisy = r.dropout > 0 or r.drop_path > 0 or bool(r.second_dropout)
    if r.when != "never" and r.alpha > 0 and not noisy and not options.peer.name:
        raise OptionError(
            f"regularizer.alpha={r.alpha:g} has no noise to act on: set regularizer.dropout or"
            " regularizer.drop_path above 0, or choose a peer"
        )
    if options.peer.name and r.passes != 2:
        raise OptionError(f"regularizer.passes={r.passes} does not go with a peer: two networks make 2 passes")
    if s.steps is None and s.warmup_steps is None and s.warmup_epochs > s.epochs:
        raise OptionError(
            f"schedule.warmup_epochs={s.warmup_epochs:g} is longer than training: set it to at most"
            f" schedule.epochs={s.epochs}"
        )
    if options.optimizer.batch_size % options.optimizer.accumulate:
        raise OptionError(
            f"optimizer.accumulate={options.optimizer.accumulate} does not divide"
            f" optimizer.batch_size={options.optimizer.batch_size}"
        )
    d = options.dataset
    if (d.mixup > 0 or d.cutmix > 0) and (options.optimizer.batch_size // options.optimizer.accumulate) % 2:
        raise OptionError("dataset.mixup and dataset.cutmix pair images: make optimizer.batch_size even")


def canonical(options: Options) -> tuple[Options, list[str]]:
    """The same trial with every option that cannot matter reset, and the names of those that were set in vain."""
    o = dataclasses.replace(
        options,
        regularizer=dataclasses.replace(options.regularizer),
        schedule=dataclasses.replace(options.schedule),
        dataset=dataclasses.replace(options.dataset),
        peer=dataclasses.replace(options.peer),
    )
    r, s, d = o.regularizer, o.schedule, o.dataset
    reset: list[str] = []

    def clear(group: str, *names: str) -> None:
        part = getattr(o, group)
        fresh = type(part)()
        for name in names:
            if getattr(part, name) != getattr(fresh, name):
                reset.append(f"{group}.{name}")
                setattr(part, name, getattr(fresh, name))

    peered = bool(o.peer.name)
    if peered:
        clear("regularizer", "second_dropout")  # each network makes one pass
    else:
        clear("peer", "args", "pretrained", "checkpoint")
    noisy = r.when != "never" and (r.dropout > 0 or r.drop_path > 0 or (r.alpha > 0 and bool(r.second_dropout)))
    if not noisy:
        clear("regularizer", "dropout", "second_dropout", "drop_path", "cutoff_epoch", "cutoff_share")
        r.when = "always"
    if not noisy and not peered:
        clear("regularizer", "alpha")
    if r.alpha == 0:
        clear("regularizer", "passes", "every", "stop_gradient", "divergence", "second_dropout")
    if r.second_dropout == r.dropout:
        r.second_dropout = None
    if r.dropout == 0 and not r.second_dropout:
        clear("regularizer", "sites")
    if r.drop_path == 0:
        clear("regularizer", "profile")
    # Named one by one, so that a schedule of the user's own keeps whatever it may use.
    if r.when in ("always", "increasing", "decreasing", "curriculum", "annealed"):
        clear("regularizer", "cutoff_epoch", "cutoff_share", "ramp")
    if r.when in ("always", "increasing", "decreasing", "early", "late"):
        clear("regularizer", "gamma")
    if r.cutoff_epoch is not None:
        r.cutoff_share = None
    elif r.cutoff_share is not None and s.steps is None:
        r.cutoff_epoch, r.cutoff_share = round(r.cutoff_share * s.epochs, 3), None
    if s.steps is not None:
        clear("schedule", "epochs")
    if s.warmup_steps is not None:
        clear("schedule", "warmup_epochs")
    if s.shape not in ("cosine", "linear"):
        clear("schedule", "final")
    if s.shape != "step":
        clear("schedule", "step_epochs", "step_factor")
    if d.name != "image_csv":
        clear("dataset", "csv", "image_column", "label_column")
    clear("dataset", *(("scale", "rand_augment", "color_jitter", "interpolation") if d.resident else ("crop",)))
    r.name = (r.name if noisy or r.alpha else "") or descriptive_name(r)
    return o, reset


def descriptive_name(r: Regularizer) -> str:
    """A regularizer called after what it does: none, dropout, early_stochastic_depth, rdrop, rdrop_late, mutual, …"""
    kinds = [
        kind for kind, rate in (("dropout", r.dropout or r.second_dropout), ("stochastic_depth", r.drop_path)) if rate
    ]
    when = [] if r.when in ("always", "never") else [r.when]
    if r.alpha and kinds:
        return "_".join(["rdrop", *when, *kinds[kinds[0] == "dropout" :]])
    return "_".join(when + kinds) or ("mutual" if r.alpha else "none")


def identity(options: Options, *, seeded: bool = True) -> str:
    """Ten hex digits that two trials share exactly when no option that can change the result differs.

    Without the seed it is the identity of the group: of trials that differ by nothing else.
    """
    values = dataclasses.asdict(canonical(options)[0])
    if not seeded:
        del values["seed"]
    for path in runtime_fields(Options):
        part = values
        for key in path[:-1]:
            part = part[key]
        del part[path[-1]]
    # Where a known data set lies changes nothing; a folder of one's own is known by nothing else.
    if values["dataset"]["name"] not in ("image_folder", "image_csv"):
        del values["dataset"]["root"]
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def readable_name(options: Options) -> str:
    """The trial in a few words, for example `digits-vit_micro-early_dropout-p0.1-until5-s0`."""
    o = canonical(options)[0]
    r = o.regularizer
    models = [part.label or part.name for part in (o.model, o.peer) if part.name]
    words = [o.dataset.name, "+".join(models), r.name]
    if r.dropout or r.second_dropout:
        words.append(f"p{r.dropout:g}" + (f"_{r.second_dropout:g}" if r.second_dropout is not None else ""))
    if r.drop_path:
        words.append(f"sd{r.drop_path:g}")
    if r.cutoff_epoch is not None:
        words.append(f"{'until' if r.when == 'early' else 'from'}{r.cutoff_epoch:g}")
    if r.alpha:
        words.append(f"a{r.alpha:g}" + (f"x{r.passes}" if r.passes != 2 else ""))
    return "-".join([*words, f"s{o.seed}"]).replace("/", "_")
