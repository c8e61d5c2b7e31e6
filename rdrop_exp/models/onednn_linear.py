"""Linear layers on CPUs of AMD: in float32 oneDNN multiplies two to three times as fast there as MKL, torch's choice.

MKL looks at a CPU's maker before it uses AVX-512; oneDNN, which torch has for lower precisions, does not. Results are
float32's own, in another order of sums.
"""

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

LEAST = 2**22
"""Products of a layer (rows * inputs * outputs) from which on the detour is_faster."""


@functools.cache
def is_faster() -> bool:
    """Whether this machine's CPU is one on which oneDNN is the faster."""
    info = Path("/proc/cpuinfo")
    known = hasattr(torch.ops.mkldnn, "_linear_pointwise")  # not where torch is built without oneDNN
    return known and info.is_file() and "AuthenticAMD" in info.read_text(errors="replace")[:4000]


def use_onednn(network: nn.Module) -> None:
    """Let the network's plain linear layers multiply by oneDNN; their weights and names stay as they are."""
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear


class Linear(nn.Linear):
    """(..., inputs) → (..., outputs)."""

    def forward(self, x: Tensor) -> Tensor:
        usual = x.dtype != torch.float32 or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
        if usual or x.numel() * self.out_features < LEAST:
            return super().forward(x)
        product: Tensor = _Product.apply(x, self.weight, self.bias)
        return product


def _multiply(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """(m, k) and (n, k) → (m, n), a times the transposed b."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return _multiply(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows, inputs = gradient.reshape(-1, gradient.shape[-1]), x.reshape(-1, x.shape[-1])
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = _multiply(rows, weight.t()).view(x.shape)
        if ctx.needs_input_grad[1]:  # oneDNN takes half the time where the first factor is the narrower
            narrow = rows.shape[1] <= inputs.shape[1]
            of_weight = _multiply(rows.t(), inputs.t()) if narrow else _multiply(inputs.t(), rows.t()).t().contiguous()
        if ctx.biased and ctx.needs_input_grad[2]:
            of_bias = rows.sum(0)
        return of_x, of_weight, of_bias
