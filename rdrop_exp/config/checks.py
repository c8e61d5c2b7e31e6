"""Which combinations of options are refused before anything is written."""

from typing import Any

from rdrop_exp.config.options import Options
from rdrop_exp.config.schedules import RATE_SCHEDULES
from rdrop_exp.config.schema import OptionError, from_plain, nearest


def from_dict(values: dict[str, Any]) -> Options:
    """Checked options from nested plain values; `OptionError` in one sentence for anything that does not fit."""
    options: Options = from_plain(Options, values)
    check(options)
    return options


def check(options: Options) -> None:
    """Refuse combinations that could not mean what they say."""
    r, s = options.regularizer, options.schedule
    if r.when not in RATE_SCHEDULES:
        raise OptionError(f"regularizer.when={r.when} is not a choice{nearest(r.when, RATE_SCHEDULES)}")
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
