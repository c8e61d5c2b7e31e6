"""Rebuild a trial from its folder: network, noise, data, and the weights that it started with and was tested with."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.hardware import choose_device
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.report.collect import Trial
from rdrop_exp.tasks.choose import task_of
from rdrop_exp.train import checkpoint
from rdrop_exp.train.setup import Setup, initial_network


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltTrial:
    setup: Setup
    """The network has the weights that training started from."""
    weights: dict[str, torch.Tensor]
    """Those to measure: tested, or the latest of an unfinished trial."""
    step: int
    """Optimizer steps taken to reach `weights`."""


def rebuild(trial: Trial, device: str = "") -> RebuiltTrial:
    """The trial as it was built; `OptionError` if it has no saved weights, or its data is gone or has changed."""
    place = choose_device(device or "auto")
    saved = checkpoint.load(trial.folder, place) if trial.folder.is_dir() else None
    if saved is None:
        raise OptionError(f"{trial.folder} has no checkpoint.pt: rerun the trial with keep_weights=true")
    o = from_dict(trial.options)
    data = task_of(o).load(o, place)
    if trial.data and trial.data != data.fingerprint:
        raise OptionError(f"{trial.folder}: its data in dataset.root={o.dataset.root} have changed since")
    network, noise = initial_network(o, data.spec, place)
    setup = Setup(options=o, network=network, noise=noise, data=data, device=place)
    step = saved["state"]["step"] if "state" in saved else round((trial.best_epoch or 0) * data.steps_per_epoch)
    return RebuiltTrial(setup=setup, weights=saved["model"], step=min(step, setup.total_steps))


def dropout_copy(o: Options, dropout: float, spec: Any, device: torch.device) -> tuple[nn.Module, InstalledNoise]:
    """The same architecture with plain dropout at that rate instead of the trial's noise; load weights before use."""
    if dropout == 0:
        raise OptionError("analysis.dropout (--dropout) must be above 0 for a model without noise")
    sites = o.regularizer.sites
    plain = dataclasses.replace(type(o.regularizer)(), dropout=dropout, sites=sites)
    untrained = {
        part: dataclasses.replace(getattr(o, part), pretrained=False, checkpoint="") for part in ("model", "peer")
    }
    return initial_network(dataclasses.replace(o, regularizer=plain, **untrained), spec, device)
