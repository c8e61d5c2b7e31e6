"""Gradient metrics of a trial's network at a step of its training: mini-batches with noise, the whole set without.

Every gradient is of the loss as that step has it, before clipping and without weight decay, in train mode: BatchNorm
uses the statistics of each batch. The network is left as it was, BatchNorm's running statistics included.
"""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from rdrop_exp.analysis import gradients, minibatches
from rdrop_exp.analysis.gradients import Estimate, GradientMetrics
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.batch import Batch, Data, items, split
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.seeds import derive_seed
from rdrop_exp.train.evaluate import Row
from rdrop_exp.train.step import StepPlan, autocast, batch_loss, seed_noise, step_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the paper leaves open, and is recorded beside every result."""

    batches: int = 20
    batch_size: int | None = None
    """Items in a mini-batch; None: the trial's own."""
    augment: bool = True
    """Mini-batches augmented as in training; the whole training set never is."""
    loss: Literal["full", "task"] = "full"
    """full: with the consistency loss where the step has one; task: without."""
    share: float | None = None
    """Share of the full drop rates in mini-batches; None: as the schedule has it at that step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    step: int
    settings: Settings
    batch_size: int
    share: float
    consistency: bool
    """Whether the loss had its consistency term."""
    gradient: GradientMetrics
    distance: float
    """|w − w0|, w0 the weights that training began with."""
    relative_distance: float
    seconds: float

    def row(self) -> Row:
        """Flat, for metrics.jsonl and W&B; what is no finite number is left out."""
        g = self.gradient
        row: Row = {"rate_scale": self.share, "model_distance": self.distance}
        row |= {"relative_distance": self.relative_distance, "full_gradient_norm": g.full_norm}
        row |= {"squared_bias": g.squared_bias, "variance": g.variance, "seconds": self.seconds}
        names = {"gradient_norm": g.norm, "direction_variance": g.direction_variance}
        row |= spread(names | {"direction_error": g.direction_error})
        return {f"analysis/{name}": value for name, value in row.items() if math.isfinite(value)}


def spread(estimates: dict[str, Estimate]) -> Row:
    """Each estimate as NAME and, where it has an interval, NAME_low and NAME_high."""
    row: Row = {}
    for name, e in estimates.items():
        row |= {name: e.value}
        if e.low is not None and e.high is not None:
            row |= {f"{name}_low": e.low, f"{name}_high": e.high}
    return row


class Meter:
    """Measures one trial's network as it changes; made while the network has the weights that training begins with."""

    def __init__(
        self,
        o: Options,
        network: nn.Module,
        noise: InstalledNoise,
        data: Data,
        device: torch.device,
        settings: Settings,
    ) -> None:
        self.o, self.network, self.noise = o, network, noise
        self.data, self.device, self.settings = data, device, settings
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.initial = flat(self.parameters)
        self.total = o.schedule.steps or o.schedule.epochs * data.steps_per_epoch
        self.size = minibatches.batch_size(data, settings.batch_size)
        if (o.dataset.mixup > 0 or o.dataset.cutmix > 0) and settings.augment and self.size % 2:
            raise OptionError(f"a batch size of {self.size} is odd, but dataset.mixup and dataset.cutmix pair images")

    def at(self, step: int) -> Measured:
        """The metrics of the network as it is, with noise, loss and draws as they are at `step` (from 0)."""
        started, s, o = time.monotonic(), self.settings, self.o
        plan = step_plan(o, self.noise, step, self.data.steps_per_epoch, self.total)
        if s.share is not None:
            plan = replace(plan, rate_scale=s.share)
        if s.loss != "full" or not plan.use_consistency:
            plan = replace(plan, num_passes=1, use_consistency=False)
        with undisturbed(self.network):
            full = self._full(plan)
            noisy = self._noisy(step, plan)
            found = gradients.measure(noisy, full, s.batches)
        away, relative = gradients.distance(flat(self.parameters), self.initial)
        return Measured(
            step=step,
            settings=s,
            batch_size=self.size,
            share=plan.rate_scale if self.noise.layers else 0.0,
            consistency=plan.use_consistency,
            gradient=found,
            distance=away,
            relative_distance=relative,
            seconds=time.monotonic() - started,
        )

    def _noisy(self, step: int, plan: StepPlan) -> Iterator[Tensor]:
        o, s = self.o, self.settings
        drawn = minibatches.mini_batches(o, self.data, s.batches, self.size, step, s.augment)
        for i, batch in enumerate(drawn):
            seed_noise(self.device, derive_seed(o.seed, "analysis noise", step, i))
            self.noise.set_rates(plan.rate_scale, plan.num_passes)
            yield self.gradient(split(batch, o.optimizer.accumulate), plan, items(batch))

    def _full(self, plan: StepPlan) -> Tensor:
        """Of the whole training set, noise off: a single pass, for equal passes have no consistency gradient."""
        micro = max(1, math.ceil(self.size / self.o.optimizer.accumulate))
        self.noise.set_rates(0.0)
        seed_noise(self.device, derive_seed(self.o.seed, "analysis"))
        count: list[int | Tensor] = []

        def counted() -> Iterator[Batch]:
            for batch in minibatches.whole(self.o, self.data, micro):
                count.append(items(batch))
                yield batch

        return self.gradient(counted(), replace(plan, num_passes=1), 1).div_(sum(count))

    def gradient(self, batches: Iterable[Batch], plan: StepPlan, count: int | Tensor) -> Tensor:
        """Of the summed losses of `batches` divided by `count`: (parameters,), as the training loop has it."""
        o = self.o
        cast = autocast("fp32" if o.precision == "fp16" else o.precision, self.device)  # fp16 would need loss scaling
        total: tuple[Tensor, ...] = ()
        for batch in batches:
            with cast():
                outputs = self.network(batch.inputs)
            losses = batch_loss(o, outputs, batch, plan, count)
            found = torch.autograd.grad(losses.total, self.parameters, allow_unused=True, materialize_grads=True)
            if total:
                torch._foreach_add_(total, found)
            total = total or found
        return flat(total)


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """A copy of all values in one vector, (size,)."""
    return torch.cat([t.detach().reshape(-1) for t in tensors])


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Train mode within; afterwards the modes and everything in the state dict (running statistics) are as before."""
    modes = [(module, module.training) for module in network.modules()]
    persistent = network.state_dict().keys()
    kept = {name: b.clone() for name, b in network.named_buffers() if name in persistent}
    try:
        network.train()
        yield
    finally:
        for name, buffer in network.named_buffers():
            if name in kept:
                buffer.copy_(kept[name])
        for module, mode in modes:
            module.training = mode
