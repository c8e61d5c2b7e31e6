"""The given setting as the choice needs to know it: options, data, noise sites, and speed."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rdrop_exp.choose.composing import Overrides, composed
from rdrop_exp.choose.scale import Scale, scale_of_task
from rdrop_exp.config.identity import TEXTS
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.tasks.choose import task_of

if TYPE_CHECKING:
    from torch import nn

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
    items_per_unit: float
    """Of what the task counts its speed in: 1 for images, less for tokens."""
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

    @property
    def steps(self) -> int:
        """Of a trial."""
        return self.o.schedule.steps or self.o.schedule.epochs * self.per_epoch


def standard_noise(name: str) -> Overrides:
    return {"regularizer": name, f"regularizer.{RATES[name]}": RATE}


def examine(overrides: Overrides, launcher: list[str], config_dir: Path | None = None) -> GivenSetting:
    """Read the data set and build the model once to find sizes and noise sites; requires `hydra_ready`.

    `OptionError` where there is nothing to choose: no noise site, or one class.
    """
    from rdrop_exp.noise.install import find_sites
    from rdrop_exp.noise.sites import PRESETS

    if config_dir and not config_dir.is_dir():
        raise OptionError(f"--config-dir: folder not found: {config_dir}")
    o = composed(overrides, config_dir)
    task = task_of(o)
    look = _texts if o.dataset.name in TEXTS else _images
    model, classes, sizes, per_epoch, units = look(o)
    if task.classifies and classes < 2:
        raise OptionError(f"dataset={o.dataset.label or o.dataset.name} has one class: there is nothing to learn")
    sites = {site.name for site in find_sites(model, o.model.sites)}
    if not sites:
        raise OptionError(f"{o.model.name} has no layer where noise could act: choose another model")
    return GivenSetting(
        o=o, overrides=without_rates(overrides, config_dir), launcher=launcher, config_dir=config_dir,
        sizes=sizes, per_epoch=per_epoch, items_per_unit=o.optimizer.batch_size / units, scale=scale_of_task(task, o),
        fingerprint=task.fingerprint(o.dataset), branches="branch" in sites,
        dropouts=bool(sites & set(PRESETS["dru"])),
    )  # fmt: skip


Look = tuple["nn.Module", int, dict[str, int], int, float]
"""Network, classes, sizes of the sets, steps per epoch, and images or tokens per step."""


def _images(o: Options) -> Look:
    from rdrop_exp.data import datasets
    from rdrop_exp.data.sampler import EpochSampler
    from rdrop_exp.models.build import create_network

    source = datasets.load(o.dataset)
    sampler = EpochSampler(source.sets, o.dataset, o.optimizer.batch_size, 0)
    size = o.dataset.image_size or (224 if source.images is None else source.images.shape[-1])
    model = create_network(o.model, "model", classes=source.classes, channels=source.channels, image_size=size)
    return model, source.classes, sampler.sizes, sampler.steps, o.optimizer.batch_size


def _texts(o: Options) -> Look:
    import torch

    from rdrop_exp.models.text import TextModel, create

    task = task_of(o)
    task.check_model(o)
    data = task.load(o, torch.device("cpu"))
    bare = dataclasses.replace(o, model=dataclasses.replace(o.model, pretrained=False, checkpoint=""))
    with torch.device("meta"):
        model = TextModel(create(bare, data.spec), data.spec.kind)
    return model, data.spec.classes, data.sizes, data.steps_per_epoch, task.units_per_step(o, data)


def without_rates(overrides: Overrides, config_dir: Path | None = None) -> Overrides:
    """The overrides, with a rate of 0 where an experiment among them sets one that the pilot's noise would keep."""
    others = (("dropout", "drop_path"), ("stochastic_depth", "dropout"))
    kept = [
        other
        for noise, other in others
        if getattr(composed(overrides | standard_noise(noise), config_dir).regularizer, other)
    ]
    return overrides | {f"regularizer.{option}": 0 for option in kept}
