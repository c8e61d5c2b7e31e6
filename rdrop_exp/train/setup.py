"""What a trial trains with, from its options: data, network with its noise, device."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rdrop_exp.config.options import Options
from rdrop_exp.config.schedules import check_length
from rdrop_exp.data.batch import Data
from rdrop_exp.hardware import choose_device
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.seeds import derive_seed
from rdrop_exp.tasks.choose import check_monte_carlo, task_of
from rdrop_exp.tasks.task import Task
from rdrop_exp.train.divergences import check_divergence
from rdrop_exp.train.optim import make_optimizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """One trial, ready to train."""

    options: Options
    network: nn.Module
    noise: InstalledNoise
    data: Data
    device: torch.device

    @property
    def task(self) -> Task:
        return task_of(self.options)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        s = self.options.schedule
        return s.steps or s.epochs * self.data.steps_per_epoch


def set_up(o: Options) -> Setup:
    """Everything that can be wrong with the options raises `OptionError` here, before anything is written."""
    torch.set_num_threads(o.threads or default_threads())
    check_divergence(o.regularizer.divergence)
    check_monte_carlo(o)
    device = choose_device(o.device)
    data = task_of(o).load(o, device)
    network, noise = initial_network(o, data.spec, device)
    make_optimizer(o.optimizer, network)  # refuses what timm would
    setup = Setup(options=o, network=network, noise=noise, data=data, device=device)
    check_length(o.regularizer, data.steps_per_epoch, setup.total_steps)
    return setup


def default_threads() -> int:
    """CPU threads where `threads` is null: what OMP_NUM_THREADS says (a launcher sets it), or else 1.

    The number of threads changes the order of sums, so one that depended on the machine would change results.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else 1


def initial_network(o: Options, spec: Any, device: torch.device) -> tuple[nn.Module, InstalledNoise]:
    """Network and noise with the trial's initial weights, which its seed decides."""
    torch.manual_seed(derive_seed(o.seed, "weights"))
    return task_of(o).build(o, spec, device)
