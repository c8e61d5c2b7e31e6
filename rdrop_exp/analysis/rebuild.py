"""A trial again, from its folder: network, noise, data, and the weights that it began with and was tested with."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import nn

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.batch import Data, Spec
from rdrop_exp.data.load import load_data
from rdrop_exp.hardware import choose_device
from rdrop_exp.models.build import build_network
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.report.collect import Trial
from rdrop_exp.seeds import derive_seed
from rdrop_exp.train import checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A trial's parts, the network with the weights that training began with; `weights` are those to measure."""

    o: Options
    network: nn.Module
    noise: InstalledNoise
    data: Data
    device: torch.device
    weights: dict[str, torch.Tensor]
    step: int
    """Optimizer steps behind the weights."""


def rebuild(trial: Trial, device: str = "") -> Built:
    """The trial's parts as it had them; `OptionError` where it left no weights or its data is gone.

    A finished trial has left its tested weights, a stopped one those that it goes on from.
    """
    where = choose_device(device or "auto")
    saved = checkpoint.load(trial.folder, where) if trial.folder.is_dir() else None
    if saved is None:
        raise OptionError(f"{trial.folder} has no checkpoint.pt to measure: run the trial with keep_weights=true")
    o = from_dict(trial.options)
    data = load_data(o.dataset, batch_size=o.optimizer.batch_size, seed=o.seed, device=where)
    network, noise = create(o, data.spec, where)
    per_epoch = data.steps_per_epoch
    total = o.schedule.steps or o.schedule.epochs * per_epoch
    step = saved["state"]["step"] if "state" in saved else round((trial.best_epoch or 0) * per_epoch)
    return Built(
        o=o, network=network, noise=noise, data=data, device=where, weights=saved["model"], step=min(step, total)
    )


def create(o: Options, spec: Spec, device: torch.device) -> tuple[nn.Module, InstalledNoise]:
    """Network and noise with the trial's initial weights, which its seed decides."""
    torch.manual_seed(derive_seed(o.seed, "weights"))
    size = spec.image_size
    return build_network(o, classes=spec.classes, channels=spec.channels, image_size=size, device=device)


def noisy_twin(o: Options, dropout: float, spec: Spec, device: torch.device) -> tuple[nn.Module, InstalledNoise]:
    """The same architecture with plain dropout at that rate, whatever noise the trial had; any weights."""
    if dropout == 0:
        raise OptionError(
            "a dropout rate of 0 makes no noise to measure with: set analysis.dropout (--dropout) above 0"
        )
    sites = o.regularizer.sites
    plain = dataclasses.replace(type(o.regularizer)(), dropout=dropout, sites=sites)
    untrained = {
        part: dataclasses.replace(getattr(o, part), pretrained=False, checkpoint="") for part in ("model", "peer")
    }
    return create(dataclasses.replace(o, regularizer=plain, **untrained), spec, device)
