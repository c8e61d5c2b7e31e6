"""Convolutions in bfloat16 on CPUs: pixel by pixel in memory, and depthwise ones in float32 (docs/benchmarks.md)."""

import torch
from torch import Tensor, nn


def use_fast_convolutions(network: nn.Module) -> None:
    """Let the network's convolutions compute as is faster under bf16; weights and names stay as they are."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in network.modules():
        if type(module) is nn.Conv2d and module.groups == module.in_channels > 1:
            module.__class__ = DepthwiseConv2d


class DepthwiseConv2d(nn.Conv2d):
    """(batch, channels, height, width) → the same in float32, whose gradients take half of bfloat16's time."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())
