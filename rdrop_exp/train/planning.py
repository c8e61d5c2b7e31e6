"""What a sweep's planner asks about trials before any of them starts, without importing torch."""

import functools
import json
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from hydra_slots import PlannedTrial, takes_values
from hydra_slots.devices import visible_gpus
from rdrop_exp.config.compose import of_composition, options_of, replaced
from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.identity import TrialSpec, plain_options, trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.config.regularizer import RATES
from rdrop_exp.config.schema import OptionError, from_plain
from rdrop_exp.config.segments import Segments, segments
from rdrop_exp.hardware import bf16_hint
from rdrop_exp.questions import planning as questions
from rdrop_exp.runs import code
from rdrop_exp.runs.folder import finished, made_by, place_trial
from rdrop_exp.train import loggers, refusals
from rdrop_exp.train.divergences import check_divergence

if TYPE_CHECKING:
    from rdrop_exp.data.datasets import Preview


@takes_values
def describe(cfg: DictConfig | dict[str, Any]) -> PlannedTrial:
    """What the sweeper needs to know of one combination, without torch; `OptionError` where it cannot be trained."""
    from rdrop_exp.tasks.choose import check_monte_carlo, task_of

    options = options_of(cfg)
    data = look_at(options.dataset)
    loggers.check(options)
    check_divergence(options.regularizer.divergence)
    check_monte_carlo(options)
    refusals.ask(options, data)
    spec, folder, changed = place_trial(trial_spec(options, data.fingerprint))
    o, r = spec.options, spec.options.regularizer
    passes = 1.0 if r.alpha == 0 else 1.0 + (r.passes - 1) / r.every
    length = o.schedule.steps or o.schedule.epochs * o.dataset.fraction
    return PlannedTrial(
        identity=spec.identity,
        folder=str(folder),
        name=folder.name,
        group=spec.group,
        work=passes * length,
        method=o.regularizer.name,
        data="" if o.dataset.name == "digits" else data.summary,
        notes=[
            *(sentence for sentence in (changed, *of_composition(replaced)) if sentence),
            *(f"{name} has no effect" for name in spec.unused),
        ],
        metric=f"val/{task_of(o).selection(o)[0]}",
        options=plain_options(o),
        pause=o.pause_epoch,
        segments=_segments(spec, data),
    )


def _segments(spec: TrialSpec, data: "Preview") -> Segments:
    """What other trials may share with this one: none where the length of an epoch is unknown.

    A trial finds out by itself whether it is as expected here, so a wrong number only costs time.
    """
    from rdrop_exp.data.splits import train_batches

    o = spec.options
    per_epoch = train_batches(data.train, o.optimizer.batch_size, o.dataset)[1] if data.train else 0
    if not per_epoch:
        return []
    total = o.schedule.steps or o.schedule.epochs * per_epoch
    most = min(total, total if o.pause_epoch is None else o.pause_epoch * per_epoch)
    result = Segments()
    for end, key in segments(o, per_epoch, total, spec.fingerprint):
        result.append((min(end, most), key))
        if end >= most:
            break
    return result


def applies(cfg: DictConfig, key: str) -> bool:
    """Whether an option given for several presets applies to this one: a rate or alpha only if the preset sets one."""
    rates = (*RATES, "second_dropout", "alpha")
    return key not in [f"regularizer.{rate}" for rate in rates] or bool(OmegaConf.select(cfg, key))


def check_plan(texts: dict[str, Any], trials: list[PlannedTrial]) -> list[str]:
    """Sentences for the plan; `OptionError` for what timm or torch would refuse in any of the described trials.

    Also for what the sweep expects of groups that it does not have. `texts` is what a named sweep says about itself
    (title, baseline, seeds, smallest, spread, expects, scale), with the overrides of the command line as `arguments`.
    """
    refusals.answers()
    folders = [trial.folder for trial in trials if finished(trial.folder)]
    others = [other for folder in folders if (other := code.differs(made_by(folder)))]
    hint = "; they count as finished (same_code=true trains them again beside the old ones)"
    lines = [code.sentence(others, len(folders)) + hint] if others else []
    return lines + faster(trials) + questions.check(texts, trials)


def faster(trials: list[PlannedTrial]) -> list[str]:
    """What would make trials faster on this machine, but is left to the user, as it changes what is trained."""
    options = [t.options for t in trials if not finished(t.folder) and t.options.get("device") in ("auto", "cpu")]
    models = {
        (m["name"], m["args"].get("embed_dim"), o["precision"], o["compile"]) for o in options for m in [o["model"]]
    }
    hints = {bf16_hint(*model) for model in models} - {""}
    return sorted(hints) if hints and not visible_gpus() else []


@functools.cache
def _look_at(dataset: str) -> "Preview":
    from rdrop_exp.data.datasets import Preview
    from rdrop_exp.tasks.choose import task_of

    options = Options(dataset=from_plain(Dataset, json.loads(dataset)))
    try:
        return task_of(options).preview(options.dataset)
    except OptionError as error:
        if not plans_only():
            raise
        return Preview(f"{error} (the sweep cannot start)", "")


def look_at(dataset: Dataset) -> "Preview":
    """What a data set holds, read once for all trials; `OptionError` where it cannot be trained on."""
    return _look_at(json.dumps(plain_options(dataset)))


def plans_only() -> bool:
    """Whether the sweep is only planned, which is possible on a machine without its data."""
    from hydra.core.hydra_config import HydraConfig

    return HydraConfig.initialized() and bool(HydraConfig.get().launcher.get("dry_run"))
