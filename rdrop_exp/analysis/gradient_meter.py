"""Gradient metrics of a trial's network at a step of its training: mini-batches with noise, the whole set without.

Every gradient is of the loss that this step minimises, before clipping and without weight decay, in train mode:
BatchNorm uses each batch's statistics. The network's state is restored afterwards, BatchNorm's running statistics too.
"""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rdrop_exp.analysis import minibatches
from rdrop_exp.analysis.gradients import Estimate, GradientMetrics, distance, gradient_metrics
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.batch import Batch, items, split
from rdrop_exp.seeds import derive_seed
from rdrop_exp.train.evaluate import Row
from rdrop_exp.train.setup import Setup
from rdrop_exp.train.step import StepPlan, autocast, batch_loss, seed_noise, step_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSettings:
    """What the paper leaves open; recorded beside every result."""

    batches: int = 20
    batch_size: int | None = None
    """Items in a mini-batch; None: the trial's own."""
    augment: bool = True
    """Augment mini-batches as in training; the whole training set never is."""
    loss: Literal["full", "task"] = "full"
    """full: with the consistency loss if the step uses it; task: without."""
    rate_scale: float | None = None
    """Fraction of the full drop rates in mini-batches; None: the schedule's at that step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    step: int
    settings: MeterSettings
    batch_size: int
    rate_scale: float
    consistency: bool
    """Whether the loss included the consistency term."""
    gradient: GradientMetrics
    distance: float
    """|w − w0|, w0 the weights that training began with."""
    relative_distance: float
    seconds: float

    def row(self) -> Row:
        """Flat, for metrics.jsonl and W&B, finite values only."""
        g = self.gradient
        row: Row = {"rate_scale": self.rate_scale, "model_distance": self.distance}
        row |= {"relative_distance": self.relative_distance, "full_gradient_norm": g.full_norm}
        row |= {"squared_bias": g.squared_bias, "variance": g.variance, "seconds": self.seconds}
        estimates = {"gradient_norm": g.norm, "direction_variance": g.direction_variance}
        row |= flatten_estimates(estimates | {"direction_error": g.direction_error})
        return {f"analysis/{name}": value for name, value in row.items() if math.isfinite(value)}

    def as_json(self) -> dict[str, Any]:
        """For analysis.json, which calls the rate scale `share`."""
        values = {"share" if name == "rate_scale" else name: value for name, value in asdict(self).items()}
        settings = values["settings"]
        return values | {"settings": {"share" if k == "rate_scale" else k: v for k, v in settings.items()}}


def flatten_estimates(estimates: dict[str, Estimate]) -> Row:
    """Each estimate as NAME and, if it has an interval, NAME_low and NAME_high."""
    row: Row = {}
    for name, e in estimates.items():
        row |= {name: e.value}
        if e.low is not None and e.high is not None:
            row |= {f"{name}_low": e.low, f"{name}_high": e.high}
    return row


class GradientMeter:
    """Measures one trial's network as it changes. Create it while the network still has its initial weights."""

    def __init__(self, setup: Setup, settings: MeterSettings) -> None:
        self.o, self.task, self.network, self.noise = setup.options, setup.task, setup.network, setup.noise
        self.data, self.device, self.settings = setup.data, setup.device, settings
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.initial = flat_vector(self.parameters)
        self.total = setup.total_steps
        self.size = minibatches.batch_size(self.data, settings.batch_size)
        d = self.o.dataset
        if (d.mixup > 0 or d.cutmix > 0) and settings.augment and self.size % 2:
            raise OptionError(f"a batch size of {self.size} is odd, but dataset.mixup and dataset.cutmix pair images")

    def read(self, step: int) -> MeterReading:
        """The metrics of the network as it is, with the noise, loss and draws of `step` (from 0)."""
        started, s, o = time.monotonic(), self.settings, self.o
        plan = step_plan(o, self.noise, step, self.data.steps_per_epoch, self.total)
        if s.rate_scale is not None:
            plan = replace(plan, rate_scale=s.rate_scale)
        if s.loss != "full" or o.regularizer.tie == "teacher":  # averaged weights are not kept
            plan = replace(plan, use_consistency=False)
        if not plan.use_consistency and not o.regularizer.multi_sample:
            plan = replace(plan, num_passes=1)
        with preserve_state(self.network):
            full = self._full_gradient(plan)
            metrics = gradient_metrics(self._mini_batch_gradients(step, plan), full, s.batches)
        length, relative = distance(flat_vector(self.parameters), self.initial)
        return MeterReading(
            step=step,
            settings=s,
            batch_size=self.size,
            rate_scale=plan.rate_scale if self.noise.layers else 0.0,
            consistency=plan.use_consistency,
            gradient=metrics,
            distance=length,
            relative_distance=relative,
            seconds=time.monotonic() - started,
        )

    def _mini_batch_gradients(self, step: int, plan: StepPlan) -> Iterator[Tensor]:
        o, s = self.o, self.settings
        batches = minibatches.mini_batches(o, self.data, s.batches, self.size, step, s.augment)
        for i, batch in enumerate(batches):
            seed_noise(self.device, derive_seed(o.seed, "analysis noise", step, i))
            self.noise.set_rates(plan.rate_scale, plan.num_passes)
            yield self.gradient(split(batch, o.optimizer.accumulate), plan, items(batch))

    def _full_gradient(self, plan: StepPlan) -> Tensor:
        """Of the whole training set, noise off: one pass, since equal passes have no consistency gradient."""
        micro_batch = max(1, math.ceil(self.size / self.o.optimizer.accumulate))
        self.noise.set_rates(0.0)
        seed_noise(self.device, derive_seed(self.o.seed, "analysis"))
        counts: list[int | Tensor] = []

        def counted() -> Iterator[Batch]:
            for batch in minibatches.whole_set(self.o, self.data, micro_batch):
                counts.append(items(batch))
                yield batch

        return self.gradient(counted(), replace(plan, num_passes=1), 1).div_(sum(counts))

    def gradient(self, batches: Iterable[Batch], plan: StepPlan, count: int | Tensor) -> Tensor:
        """Of the summed losses of `batches` divided by `count`: (parameters,), as in the training loop."""
        o = self.o
        cast = autocast("fp32" if o.precision == "fp16" else o.precision, self.device)  # fp16 would need loss scaling
        total: tuple[Tensor, ...] = ()
        for batch in batches:
            with cast():
                outputs = self.network(batch.inputs)
            losses = batch_loss(o, self.task, outputs, batch, plan, count)
            gradients = torch.autograd.grad(losses.total, self.parameters, allow_unused=True, materialize_grads=True)
            if total:
                torch._foreach_add_(total, gradients)
            total = total or gradients
        return flat_vector(total)


def flat_vector(tensors: Iterable[Tensor]) -> Tensor:
    """A copy of all values in one vector, (size,)."""
    return torch.cat([t.detach().reshape(-1) for t in tensors])


@contextmanager
def preserve_state(network: nn.Module) -> Iterator[None]:
    """Train mode inside; afterwards modes and persistent buffers (running statistics) are as before."""
    modes = [(module, module.training) for module in network.modules()]
    persistent = network.state_dict().keys()
    saved = {name: b.clone() for name, b in network.named_buffers() if name in persistent}
    try:
        network.train()
        yield
    finally:
        for name, buffer in network.named_buffers():
            if name in saved:
                buffer.copy_(saved[name])
        for module, mode in modes:
            module.training = mode
