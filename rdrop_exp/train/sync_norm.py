"""BatchNorm over the whole batch of several ranks, as one process would compute it.

On GPUs that is torch's SyncBatchNorm. It has no kernels for CPUs, where the same is done in plain operations.
"""

from typing import Any

import torch
import torch.distributed as dist
from timm.layers.norm_act import BatchNormAct2d, SyncBatchNormAct
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def synchronise(network: nn.Module, device: torch.device, group: Any) -> None:
    """Let all BatchNorm layers of torch and timm take statistics over the ranks; weights and hooks stay as they are."""
    plain, with_act = (OnGPU, OnGPUAct) if device.type == "cuda" else (OnCPU, OnCPUAct)
    plain.process_group = with_act.process_group = group  # of the class: a copy of a network cannot copy a group
    for module in network.modules():
        if isinstance(module, BatchNormAct2d):
            module.__class__ = with_act
        elif type(module) in PLAIN:
            module.__class__ = plain


def own_statistics(network: nn.Module) -> list[Tensor]:
    """The running statistics of the other BatchNorm layers, which each rank has of its own part of a batch."""
    layers = [m for m in network.modules() if isinstance(m, _BatchNorm) and not getattr(m, "process_group", None)]
    return [buffer for m in layers for buffer in (m.running_mean, m.running_var) if buffer is not None]


class OnGPU(nn.SyncBatchNorm):
    """torch's."""


class OnGPUAct(SyncBatchNormAct):  # type: ignore[misc]
    """timm's, with its activation."""


class OnCPU(_BatchNorm):
    """(batch, channels, …) → the same."""

    process_group: Any = None

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        return synced(self, input) if self.training else super().forward(input)


class OnCPUAct(BatchNormAct2d):  # type: ignore[misc]
    """With an activation."""

    process_group: Any = None

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.act(self.drop(synced(self, x))) if self.training else super().forward(x)
        return result


def synced(norm: Any, x: Tensor) -> Tensor:
    """Mean and variance in two sums over the ranks, through which gradients flow; arithmetic in float32 or finer."""
    dtype, x = x.dtype, x.to(torch.promote_types(x.dtype, torch.float32))
    others, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
    sums = torch.cat([x.sum(others), x.new_tensor([x.numel() / x.shape[1]])])
    sums = _Sum.apply(sums, norm.process_group)
    count, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
    centred = x - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(others), norm.process_group) / count
    if norm.track_running_stats:
        norm.num_batches_tracked.add_(1)
        share = norm.momentum if norm.momentum is not None else 1 / norm.num_batches_tracked.item()
        norm.running_mean.lerp_(mean.detach(), share)
        norm.running_var.lerp_(variance.detach() * count / (count - 1), share)
    normal = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.weight is not None:
        normal = torch.addcmul(norm.bias.view(shape), normal, norm.weight.view(shape))
    result: Tensor = normal.to(dtype)
    return result


class _Sum(torch.autograd.Function):
    """A tensor summed over the ranks, and its gradient likewise."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        x = x.clone()
        dist.all_reduce(x, group=group)
        return x

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone()
        dist.all_reduce(gradient, group=ctx.group)
        return gradient, None
