"""Which combinations of options are refused before anything is written."""

from pathlib import PurePath
from typing import Any

from rdrop_exp.config import plugins
from rdrop_exp.config.options import Options
from rdrop_exp.config.regularizer import RATES, Regularizer
from rdrop_exp.config.schedules import RATE_SCHEDULES
from rdrop_exp.config.schema import OptionError, from_plain, nearest, shown


def from_dict(values: dict[str, Any], shared: bool = False) -> Options:
    """Checked options from nested plain values; `OptionError` in one sentence for anything that does not fit.

    `shared` as in `from_plain`.
    """
    options: Options = from_plain(Options, values, shared=shared)
    plugins.load(options.plugins)
    check(options)
    return options


def check(options: Options) -> None:
    """Refuse combinations that could not mean what they say."""
    o = options
    labels = {"model.label": o.model.label, "peer.label": o.peer.label, "dataset.label": o.dataset.label}
    for name, text in (labels | {"name": o.name, "regularizer.name": o.regularizer.name}).items():
        if not text.isprintable():
            raise OptionError(f"{name}={shown(text)} must be printable characters, as it names a folder")
    check_name(options.name)
    if not options.model.name:
        raise OptionError("model.name= must be the name of a timm model, such as resnet18")
    r, s = options.regularizer, options.schedule
    for group in ("model", "peer"):
        args = getattr(options, group).args
        check_model_args(group, args)
        for rate, name in (("patch_dropout", "patch_drop_rate"), ("drop_block", "drop_block_rate")):
            if getattr(r, rate) > 0 and args.get(name):
                raise OptionError(
                    f"{group}.args.{name}={shown(args[name])} and regularizer.{rate}={getattr(r, rate):g} are the same"
                    " noise: leave one of them out"
                )
    if r.when not in RATE_SCHEDULES:
        raise OptionError(f"regularizer.when={shown(r.when)} is not a choice{nearest(r.when, RATE_SCHEDULES)}")
    if r.when in ("early", "late", "v_shaped"):
        if r.cutoff_epoch is None and r.cutoff_share is None:
            raise OptionError(f"regularizer.when={r.when} needs regularizer.cutoff_epoch (or regularizer.cutoff_share)")
        if r.cutoff_epoch is not None and s.steps is None and r.cutoff_epoch > s.epochs:
            raise OptionError(
                f"regularizer.cutoff_epoch={r.cutoff_epoch:g} lies beyond the last epoch: set it to at most"
                f" schedule.epochs={s.epochs}"
            )
    noisy = bool(r.second_dropout) or any(getattr(r, rate) > 0 for rate in RATES)
    if r.when != "never" and r.alpha > 0 and not noisy and not options.peer.name:
        raise OptionError(
            f"regularizer.alpha={r.alpha:g} has no noise to act on: set regularizer.dropout or"
            " regularizer.drop_path above 0, or choose a peer"
        )
    if r.when != "never" and r.alpha > 0 and r.tie == "teacher":
        if options.peer.name:
            raise OptionError("regularizer.tie=teacher does not go with a peer: two networks are tied to each other")
        if not options.optimizer.ema:
            raise OptionError(
                "regularizer.tie=teacher needs averaged weights: set optimizer.ema above 0, such as optimizer.ema=0.99"
            )
    elif r.when != "never" and r.alpha > 0 and r.passes == 1 and not options.peer.name:
        raise OptionError(
            "regularizer.passes=1 has no other pass to be tied to: use at least 2, or regularizer.tie=teacher"
        )
    check_profile(r)
    if options.compile and r.patch_dropout > 0 and not steady(r):
        raise OptionError(
            f"regularizer.patch_dropout={r.patch_dropout:g} does not go with compile=true while the rate moves, as the"
            " number of patches would: choose regularizer.when=always, or early or late with ramp=constant"
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


def check_profile(r: Regularizer) -> None:
    """Refuse a rate that the profile over blocks would raise above 1."""
    highest = max(r.dropout, r.second_dropout or 0.0)
    if r.dropout_profile != "constant" and highest >= 0.5:
        raise OptionError(
            f"regularizer.dropout_profile={r.dropout_profile} doubles the rate of some blocks: regularizer.dropout"
            f" (or second_dropout) = {highest:g} must be below 0.5"
        )


def steady(r: Regularizer) -> bool:
    """Whether noise has its full rates or none, and nothing between."""
    return r.when in ("never", "always") or (r.when in ("early", "late") and r.ramp == "constant")


def check_name(name: str) -> None:
    """Refuse an experiment's name that would be written outside of `output_dir`, or that no file system takes."""
    parts = PurePath(name).parts
    if not parts or PurePath(name).is_absolute() or ".." in parts:
        raise OptionError(
            f"name={shown(name)} must be a folder inside output_dir, such as name=alpha or name=vit/alpha"
        )
    if any(len(part.encode()) > 200 for part in parts):
        raise OptionError(f"name={shown(name)} is too long for a folder: use at most 200 characters")


MODEL_ARGS = {"in_chans": "the data", "num_classes": "the data", "img_size": "dataset.image_size"}
"""Constructor arguments that follow from other options."""


def check_model_args(group: str, args: dict[str, Any]) -> None:
    """Refuse arguments of the model that other options set: they would do nothing, or fight with them."""
    for name, value in args.items():
        given = f"{group}.args.{name}={shown(value)}"
        if name in MODEL_ARGS:
            raise OptionError(f"{given} follows from {MODEL_ARGS[name]}: leave it out")
        if name in ("pretrained", "checkpoint_path"):
            option = {"checkpoint_path": "checkpoint"}.get(name, name)
            raise OptionError(f"{given} has no effect: use {group}.{option}")
        if "drop" in name and name.endswith("rate") and not name.startswith(("patch_drop", "drop_block")):
            option = "drop_path" if "path" in name else "dropout"
            raise OptionError(
                f"{given} has no effect, as noise is installed by the regularizer: use regularizer.{option}"
            )
