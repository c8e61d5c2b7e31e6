"""torch.compile, and what CUDA graphs ask of a training loop."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def compiled(network: nn.Module, mode: str) -> Callable[[Tensor], Tensor]:
    """The network through torch.compile, without what this process has compiled before.

    torch does not look at hooks when it decides whether an earlier network's graph fits, and noise is partly hooks: a
    worker's second trial would train with the first one's noise.
    """
    torch.compiler.reset()
    network_compiled: Callable[[Tensor], Tensor] = torch.compile(network, mode=mode)
    return network_compiled


def begin_forward(network: nn.Module, mode: str, device: torch.device) -> None:
    """Before each forward pass: the last one's outputs are used up, and gradients become the network's own.

    A CUDA graph returns the first micro-batch's gradients in memory that its next replay overwrites.
    """
    if mode == "default" or device.type != "cuda":
        return
    for parameter in network.parameters():
        parameter.grad = None if parameter.grad is None else parameter.grad.clone()
    torch.compiler.cudagraph_mark_step_begin()
