"""Task losses and consistency losses: pure functions over the outputs of one or several noisy passes.

One normalisation, per item (a sample, or a token that counts) and for m passes:

    L = (1/m) sum_j CE_j + alpha * D,   D = mean over unordered pairs of 1/2 [KL(p_i || p_j) + KL(p_j || p_i)]

and the batch loss is the mean over items. R-Drop (arXiv 2106.14448, equation 4) writes CE_1 + CE_2 + alpha' * D, which is
2 L with alpha' = 2 alpha. Arithmetic is in float32 whatever the logits' type.
"""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """(items, classes) and (items,) classes or (items, classes) probabilities → (items,)."""
    return F.cross_entropy(logits, targets, reduction="none")


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """(items, values) and the same, or (items,) for one value → (items,), mean over values."""
    return (outputs - targets.view_as(outputs)).square().mean(-1)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """(items, labels) and the same in 0..1 → (items,), mean over labels."""
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none").mean(-1)


TASK_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "squared_error": squared_error,
    "binary_cross_entropy": binary_cross_entropy,
}


def kl(a: Tensor, b: Tensor) -> Tensor:
    """Symmetric KL of two softmaxes, 1/2 sum (p - q)(log p - log q): (items, classes) twice → (items,)."""
    log_p, log_q = a.log_softmax(-1), b.log_softmax(-1)
    return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Squared difference, mean over values: R-Drop's form for regression."""
    return (a - b).square().mean(-1)


def bernoulli(a: Tensor, b: Tensor) -> Tensor:
    """Symmetric KL of independent sigmoids, mean over labels: 1/2 (p - q)(logit p - logit q)."""
    return 0.5 * ((a.sigmoid() - b.sigmoid()) * (a - b)).mean(-1)


DIVERGENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"kl": kl, "mse": mse, "bernoulli": bernoulli}
"""Name → symmetric divergence of two passes; a new one is one function and one entry."""


class Loss(NamedTuple):
    """Scalars: what is minimised, and its two parts before weighting."""

    total: Tensor
    task: Tensor
    consistency: Tensor


def consistency(outputs: Tensor, divergence: str = "kl", stop_gradient: bool = False) -> Tensor:
    """Mean divergence over unordered pairs of passes: (passes, items, classes) → (items,).

    With `stop_gradient`, each side of a pair is pulled towards the other as it is: half of each gradient.
    """
    distance = DIVERGENCES[divergence]
    pairs = list(combinations(outputs.unbind(0), 2))
    if stop_gradient:
        return torch.stack([0.5 * (distance(a, b.detach()) + distance(a.detach(), b)) for a, b in pairs]).mean(0)
    return torch.stack([distance(a, b) for a, b in pairs]).mean(0)


def loss(
    outputs: Tensor,
    targets: Tensor,
    *,
    passes: int = 1,
    alpha: float = 0.0,
    mask: Tensor | None = None,
    items: int | Tensor | None = None,
    task: str = "cross_entropy",
    divergence: str = "kl",
    stop_gradient: bool = False,
) -> Loss:
    """The batch loss. Outputs (passes * batch, ..., classes), pass by pass; targets (batch, ...) or as the task wants.

    `mask` (batch, ...) selects the items that count; `items` is what the sum over them is divided by, by default their
    number: give the number in the whole effective batch when this is one micro-batch of it.
    """
    outputs = outputs.float().view(passes, -1, outputs.shape[-1])
    count = outputs.shape[1]
    targets = targets.reshape(count, *targets.shape[-1:]) if targets.numel() != count else targets.reshape(count)
    if mask is not None:
        keep = mask.reshape(count)
        outputs, targets = outputs[:, keep], targets[keep]
        count = outputs.shape[1]
    items = count if items is None else items
    each = torch.stack([TASK_LOSSES[task](one, targets) for one in outputs.unbind(0)]) if passes > 1 else None
    task_loss = (TASK_LOSSES[task](outputs[0], targets) if each is None else each.mean(0)).sum() / items
    if passes == 1 or alpha == 0.0:
        return Loss(task_loss, task_loss, torch.zeros_like(task_loss))
    divergence_loss = consistency(outputs, divergence, stop_gradient).sum() / items
    return Loss(task_loss + alpha * divergence_loss, task_loss, divergence_loss)
