"""The given setting as the choice needs to know it: options, data, noise sites, and speed."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

from rdrop_exp.choose.composing import Overrides, composed
from rdrop_exp.choose.scale import Scale, scale_of_task
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.tasks.task import Task

RATE = 0.1
"""Of the pilot's standard noise."""
RATES = {"dropout": "dropout", "stochastic_depth": "drop_path"}
"""Standard noise → its option."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenSetting:
    o: Options
    overrides: Overrides
    """The user's, by key as in a sweep file."""
    launcher: list[str]
    """`hydra.launcher.…` overrides, which are passed on."""
    config_dir: Path | None
    """Presets of the user's own."""
    sizes: dict[str, int]
    per_epoch: int
    """Steps."""
    steps: int
    """Of a trial."""
    batch_size: int
    """Items of a step, on average."""
    units_per_step: float
    """Of what the task counts its speed in: images or tokens."""
    task: Task
    fingerprint: str
    """Of the data."""
    scale: Scale
    branches: bool
    """Whether the model has sites for stochastic depth."""
    dropouts: bool
    """Whether it has sites for dropout other than before the classifier."""

    @property
    def noise(self) -> str:
        """Standard noise: dropout if the model has sites for it, otherwise stochastic depth."""
        return "stochastic_depth" if self.branches and not self.dropouts else "dropout"

    def evaluated(self, steps: int, limit: int | None) -> float:
        """Items in validation and test of a trial of so many steps, with this `dataset.limit`."""
        per_epoch = min(self.per_epoch, limit or self.per_epoch)
        validations = max(1, math.ceil(steps / per_epoch / self.o.validate_every))
        most = 2 * self.batch_size * limit if limit else math.inf
        return validations * min(most, self.sizes["validation"]) + min(most, self.sizes["test"])


def standard_noise(name: str) -> Overrides:
    return {"regularizer": name, f"regularizer.{RATES[name]}": RATE}


def examine(overrides: Overrides, launcher: list[str], config_dir: Path | None = None) -> GivenSetting:
    """Set a trial up once, without pretrained weights, to find sizes and noise sites; requires `hydra_ready`.

    `OptionError` where a trial would raise it, and where there is nothing to choose: no noise site, or one class.
    """
    from rdrop_exp.noise.install import find_sites
    from rdrop_exp.noise.sites import PRESETS
    from rdrop_exp.train.setup import set_up

    if config_dir and not config_dir.is_dir():
        raise OptionError(f"--config-dir: folder not found: {config_dir}")
    o = composed(overrides, config_dir)
    bare = dataclasses.replace(o.model, pretrained=False, checkpoint="")
    setup = set_up(dataclasses.replace(o, device="cpu", model=bare))
    task, data = setup.task, setup.data
    if task.classifies and sum(n > 0 for n in data.counts.get("train", {}).values()) == 1:
        raise OptionError(f"dataset={o.dataset.label or o.dataset.name} has one class: there is nothing to learn")
    sites = {site.name for site in find_sites(setup.network, o.model.sites)}
    if not sites:
        raise OptionError(f"{o.model.name} has no layer where noise could act: choose another model")
    return GivenSetting(
        o=o, overrides=without_rates(overrides, config_dir), launcher=launcher, config_dir=config_dir,
        task=task, sizes=data.sizes, per_epoch=data.steps_per_epoch, steps=setup.total_steps,
        batch_size=data.batch_size, units_per_step=task.units_per_step(o, data), scale=scale_of_task(task, o),
        fingerprint=task.fingerprint(o.dataset), branches="branch" in sites, dropouts=bool(sites & set(PRESETS["dru"])),
    )  # fmt: skip


def without_rates(overrides: Overrides, config_dir: Path | None = None) -> Overrides:
    """The overrides, with a rate of 0 where an experiment among them sets one that the pilot's noise would keep."""
    others = (("dropout", "drop_path"), ("stochastic_depth", "dropout"))
    kept = [
        other
        for noise, other in others
        if getattr(composed(overrides | standard_noise(noise), config_dir).regularizer, other)
    ]
    return overrides | {f"regularizer.{option}": 0 for option in kept}
