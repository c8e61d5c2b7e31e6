"""Dropout and stochastic depth whose rates are tensors; `structured.py` has their relatives.

The rates live in non-persistent buffers: a schedule moves them every step without recompiling a compiled model, and the
state dict keeps timm's keys.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from rdrop_exp.noise import fused_attention
from rdrop_exp.noise.sample_drop import KeptSamples, draw_kept, gather, scatter


def drop(x: Tensor, rate: Tensor, per_row: bool = False) -> Tensor:
    """Zero each element of `x` (rows, ...), or each row, with its pass's rate and scale the rest by 1/(1 - rate).

    `rate` is (passes,) in 0..1, float32, and the rows of `x` are pass by pass; (1,) serves all rows.
    """
    by_bits = len(rate) == 1 and x.dtype in (torch.bfloat16, torch.float16)
    if len(rate) > 1:
        rate = rate.repeat_interleave(len(x) // len(rate))
    by_row = [1] * (x.ndim - 1)
    rate = rate.view(-1, *by_row)
    if by_bits and not per_row and _draws_halves(x):
        threshold = _threshold(rate)
        bits = _random_halves(x.shape).ge_(threshold).neg_()
        masked: Tensor = _Masked.apply(x, bits, 1.0 / (1.0 - rate.reshape(())))
        return masked
    keep = torch.rand(len(x), *by_row, device=x.device) >= rate if per_row else draw_mask(x.shape, rate)
    return (x * (keep * (1.0 / (1.0 - rate)))).to(x.dtype)


class _Masked(torch.autograd.Function):
    """`x`, of 16 bits, times a float32 scale, with the bits of -1 in the mask kept and those of 0 cleared.

    A product with a float32 mask would round to the same bits after three copies in float32.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(mask, scale)
        return (x * scale).view(torch.int16).bitwise_and_(mask).view(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _Masked.apply(gradient, *ctx.saved_tensors), None, None


def draw_mask(shape: Sequence[int], rate: Tensor) -> Tensor:
    """Booleans of that shape on the device of `rate`, each False with probability `rate`, which is broadcast."""
    if _draws_halves(rate):
        threshold = _threshold(rate)  # is drawn first
        return _random_halves(shape) >= threshold
    return torch.rand(*shape, device=rate.device) >= rate  # float32 even for bf16, which has 256 draws in 0..1


def _draws_halves(x: Tensor) -> bool:
    """Whether noise on the device of `x` is drawn as 16 bits an element."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _threshold(rate: Tensor) -> Tensor:
    """The int16 below which an element is dropped: 65536ths, rounded up or down at random, on average exact."""
    return ((rate * 65536 + torch.rand(())).floor().clamp(max=65535) - 32768).to(torch.int16)


def _random_halves(shape: Sequence[int]) -> Tensor:
    """Uniform int16 on the CPU, four from each 64-bit draw: an eighth of the time of as many floats."""
    count = math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int16)[:count].view(shape)


class NoiseLayer(nn.Module):
    """A rate for each pass (or one for all), and whether it acts at all: `rate` = `full` times the schedule's scale."""

    rate: Tensor
    full: Tensor
    per_row = False

    def __init__(self, *full: float) -> None:
        super().__init__()
        self.register_buffer("full", torch.tensor(full), persistent=False)
        self.register_buffer("rate", torch.zeros(len(full)), persistent=False)
        self.highest = max(full)
        self.rate_scale = 0.0
        self.num_passes = 1
        self.active = False

    def forward(self, x: Tensor) -> Tensor:
        """(rows, ...) → the same; the identity in eval mode and while inactive."""
        return drop(x, self.rate[: self.num_passes], self.per_row) if self.training and self.active else x

    def before(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Forward pre-hook: noise on a module's input, where the model has no place for it."""
        return (self(inputs[0]), *inputs[1:])

    def after(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        """Forward hook: noise on a module's output, or the first of several, where the model has no place for it."""
        return (self(output[0]), *output[1:]) if isinstance(output, tuple) else self(output)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow the model to its device but stay float32: in bfloat16 a rate could be off by 0.2 %."""
        before = self.full, self.rate
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.full, self.rate = before[0].to(self.full.device), before[1].to(self.rate.device)
        return self


class Dropout(NoiseLayer):
    """Element-wise dropout."""

    p = 0.0  # timm's fused attention reads this, and runs only while no noise is active

    def unfuse(self, attention: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Forward pre-hook of an attention: its fused kernel, which takes no tensor as its rate, steps aside."""
        noisy = self.training and self.active
        attention.fused_attn = not noisy and fused_attention.is_faster(inputs[0])  # type: ignore[assignment]


class DropPath(NoiseLayer):
    """Stochastic depth (Huang et al. 2016): drops a residual branch for whole rows, which are samples.

    Where `branch_inputs` knows the branch's input, rows are drawn there and only the kept ones reach this layer.
    """

    per_row = True
    kept: KeptSamples | None = None
    skip = True

    def enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Forward pre-hook where the branch begins. A compiled model, whose shapes must stay, goes without."""
        if not (self.training and self.active) or torch.compiler.is_compiling():
            return None
        self.kept = draw_kept(len(inputs[0]), self.highest * self.rate_scale, inputs[0].device, self.skip)
        return (gather(inputs[0], self.kept), *inputs[1:])

    def forward(self, x: Tensor) -> Tensor:
        """(rows, ...), or only the kept ones → (rows, ...)."""
        if self.kept is None:
            return super().forward(x)
        kept, self.kept = self.kept, None
        return scatter(x, kept)
