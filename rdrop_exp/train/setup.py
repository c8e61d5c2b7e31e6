"""What a trial trains with, from its options: data, network with its noise, device."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rdrop_exp.config.options import Options
from rdrop_exp.config.schedules import check_length
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.batch import Data
from rdrop_exp.hardware import choose_device
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.seeds import derive_seed
from rdrop_exp.tasks.choose import check_monte_carlo, task_of
from rdrop_exp.tasks.task import Meter, Task
from rdrop_exp.train.divergences import check_divergence
from rdrop_exp.train.optim import make_optimizer
from rdrop_exp.train.parallel import ALONE, World
from rdrop_exp.train.sync_norm import synchronise


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """One trial, ready to train."""

    options: Options
    network: nn.Module
    noise: InstalledNoise
    data: Data
    device: torch.device
    world: World = ALONE

    @property
    def task(self) -> Task:
        return task_of(self.options)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        s = self.options.schedule
        return s.steps or s.epochs * self.data.steps_per_epoch


def set_up(o: Options, world: World = ALONE) -> Setup:
    """Everything that can be wrong with the options raises `OptionError` here, before anything is written."""
    torch.set_num_threads(o.threads or default_threads())
    check_divergence(o.regularizer.divergence)
    check_monte_carlo(o)
    device = choose_device(o.device)
    world.check(device)
    data = task_of(o).load(o, device)
    network, noise = initial_network(o, data.spec, device)
    make_optimizer(o.optimizer, network)  # refuses what timm would
    setup = Setup(options=o, network=network, noise=noise, data=data, device=device, world=world)
    check_length(o.regularizer, data.steps_per_epoch, setup.total_steps)
    if world.size > 1:
        divide(setup)
    return setup


def divide(setup: Setup) -> None:
    """Give this rank its part of the data, and BatchNorm the whole; `OptionError` for what cannot be divided."""
    o, data, ranks = setup.options, setup.data, setup.world.size
    why = f"this trial has {ranks} ranks"
    if not hasattr(data, "shard") or type(setup.task.meter(o, data, "val")).merge is Meter.merge:
        raise OptionError(f"dataset.name={o.dataset.name}: {why}, but its data or meter is for one (see docs/own.md)")
    if not o.optimizer.batch_tokens and data.batch_size < ranks:
        raise OptionError(f"optimizer.batch_size={o.optimizer.batch_size}: {why}, and each needs an item of a batch")
    if few := [name for name in ("validation", "test") if data.sizes[name] < ranks]:
        raise OptionError(f"dataset.name={o.dataset.name}: {why}, but its {few[0]} set has {data.sizes[few[0]]} items")
    if o.compile and o.compile_mode != "default":
        raise OptionError(f"compile_mode={o.compile_mode} is for one rank, and {why}: use compile_mode=default")
    data.shard = setup.world.shard
    if o.sync_batchnorm:
        synchronise(setup.network, setup.device, setup.world.group(setup.device))


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
