"""Which of timm's two ways an attention computes: the fused kernel, or two products and a softmax between them.

On CPUs the fused kernel's backward pass in bfloat16 is slower than the products, up to a length (docs/benchmarks.md).
The choice goes by that length and the precision alone, so that it is the same in every process.
"""

from typing import Any

import torch
from torch import Tensor, nn

LONGEST = 640
"""Tokens up to which the products are faster where a gradient is needed; without one, the kernel always is."""


def is_faster(x: Tensor) -> bool:
    """Whether the fused kernel is the faster for an attention on `x`, (batch, tokens, features)."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or x.ndim != 3 or not torch.is_grad_enabled():
        return True
    low = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return not (low or x.dtype == torch.bfloat16) or x.shape[1] > LONGEST


def choose(attention: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Forward pre-hook of an attention without noise."""
    if (faster := is_faster(inputs[0])) != attention.fused_attn:
        attention.fused_attn = faster  # type: ignore[assignment]
