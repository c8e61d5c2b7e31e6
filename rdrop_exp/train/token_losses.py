"""Cross-entropy and symmetric KL over a vocabulary, some tokens at a time."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


def kl_gradient(log_p: Tensor, fixed: bool, out: Tensor) -> Tensor:
    """Into `out`, (passes - 1) times the gradient of the mean symmetric KL over pairs by the logits of each pass.

    That is p_i - mean p + p_i (l_i - mean l - sum p_i (l_i - mean l)) for l = log p, (passes, items, classes); the last
    part is missing with `fixed` targets. Overwrites `log_p`.
    """
    p = log_p.exp()
    centre = p.mean(0)
    if fixed:
        return torch.sub(p, centre, out=out)
    log_p -= log_p.mean(0)
    log_p -= torch.linalg.vecdot(p, log_p)[..., None] - 1
    return torch.addcmul(-centre, p, log_p, out=out)


class TokenLosses(torch.autograd.Function):
    """Both losses with the gradient of both in closed form: beside the outputs, it is all that is as large as they are.

    Outputs (passes, items, classes), target classes (items,), which items to skip (items,), items at a time, label
    smoothing, fixed targets of the KL → (passes, items) cross-entropies and (items,) KL, 0 for a single pass.
    """

    @staticmethod
    def forward(
        ctx: Any, outputs: Tensor, targets: Tensor, skip: Tensor, size: int, smoothing: float, fixed: bool
    ) -> tuple[Tensor, Tensor]:
        targets = targets.masked_fill(skip, 0)
        ctx.save_for_backward(outputs, targets, skip)
        ctx.size, ctx.smoothing, ctx.fixed = size, smoothing, fixed
        each, apart = [], []
        for x, target, skipped in _chunks(size, (outputs, 1), (targets, 0), (skip, 0)):
            log_p = _log_softmax(x, skipped)
            right = log_p.gather(-1, target.expand(len(x), -1)[..., None])[..., 0]
            each.append((smoothing - 1) * right - smoothing * log_p.mean(-1) if smoothing else -right)
            if len(x) > 1:
                p = log_p.exp()
                apart.append(torch.linalg.vecdot(p - p.mean(0), log_p - log_p.mean(0)).sum(0) / (len(x) - 1))
        return torch.cat(each, 1), torch.cat(apart) if apart else each[0].new_zeros(len(targets))

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, by_each: Tensor, by_apart: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        outputs, targets, skip = ctx.saved_tensors
        smoothing, result = ctx.smoothing, torch.empty_like(outputs)
        parts = (result, 1), (outputs, 1), (targets, 0), (skip, 0), (by_each, 1), (by_apart, 0)
        for out, x, target, skipped, weight, weight_kl in _chunks(ctx.size, *parts):
            log_p = _log_softmax(x, skipped)
            weight = weight[..., None]
            gradient = (log_p.exp() - smoothing / x.shape[-1]) * weight
            gradient.scatter_add_(-1, target.expand(len(x), -1)[..., None], (smoothing - 1) * weight)
            if len(x) > 1:
                divergence = kl_gradient(log_p, ctx.fixed, torch.empty_like(log_p))
                gradient.addcmul_(divergence, weight_kl[:, None], value=1 / (len(x) - 1))
            out.copy_(gradient)
        return result, None, None, None, None, None


def _chunks(size: int, *parts: tuple[Tensor, int]) -> Iterator[tuple[Tensor, ...]]:
    """Each tensor in pieces of `size` items along its dimension, side by side."""
    return zip(*(torch.split(tensor, size, dimension) for tensor, dimension in parts), strict=True)


def _log_softmax(x: Tensor, skipped: Tensor) -> Tensor:
    """In float32 or finer; of zeros where items are skipped, since padding holds who knows what."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return x.masked_fill(skipped[:, None], 0).log_softmax(-1)
