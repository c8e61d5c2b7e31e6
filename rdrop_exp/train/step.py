"""What one optimizer step is: its plan, its noise, its arithmetic, its loss."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rdrop_exp.config.options import Options
from rdrop_exp.config.schedules import rate_scale
from rdrop_exp.data.batch import Batch
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.tasks.task import Task
from rdrop_exp.train.losses import Loss, loss


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Known on the host before the step, so that a step without active noise makes a single pass."""

    rate_scale: float
    """Share of the full drop rates that acts, 0..1."""
    num_passes: int
    """Noisy passes of each input."""
    use_consistency: bool
    """Whether the consistency loss ties the passes together, or to the teacher."""


def step_plan(o: Options, noise: InstalledNoise, step: int, per_epoch: int, total: int) -> StepPlan:
    """The plan of the optimizer step `step`, counted from 0, of `total`."""
    r, scale = o.regularizer, rate_scale(o.regularizer, step, per_epoch, total)
    mutual = bool(o.peer.name)
    noisy = scale > 0 and bool(noise.layers)
    tied = r.alpha > 0 and step % r.every == 0 and (mutual or noisy)
    several = noisy and not mutual and (tied or r.multi_sample)
    return StepPlan(scale, r.passes if several else 1, tied)


def num_networks(o: Options) -> int:
    """How many networks train together."""
    return 2 if o.peer.name else 1


def batch_loss(
    o: Options,
    task: Task,
    outputs: Tensor,
    batch: Batch,
    plan: StepPlan,
    count: int | Tensor,
    teacher: Tensor | None = None,
) -> Loss:
    """The loss of all passes of a batch or micro-batch, its sum over items divided by `count`.

    `teacher`: the outputs of the averaged weights, which the passes are tied to.
    """
    r, networks = o.regularizer, num_networks(o)
    return loss(
        outputs,
        batch.targets,
        passes=plan.num_passes * networks,
        alpha=r.alpha if plan.use_consistency else 0.0,
        mask=batch.mask,
        items=count,
        task=task.loss,
        label_smoothing=o.dataset.label_smoothing,
        divergence=task.divergence if r.divergence == "kl" else r.divergence,
        stop_gradient=r.stop_gradient,
        teacher=teacher,
    )


def seed_noise(device: torch.device, seed: int) -> None:
    """Seed the generator that noise on this device draws from.

    `torch.manual_seed` would seed every kind of device, and where CUDA is not in use it queues the call, with a stack
    trace, each time: half a millisecond and a leak at every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """A maker of the context in which the forward pass runs."""
    if precision == "fp32":
        return nullcontext
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return lambda: torch.autocast(device.type, dtype=dtype)
