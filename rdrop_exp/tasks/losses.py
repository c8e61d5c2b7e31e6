"""What a network is trained by in each task: (items, outputs) and targets → a loss for each item."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """(items, classes) and (items,) classes or (items, classes) probabilities → (items,).

    `smoothing`: share of the target spread evenly over all classes (Szegedy et al. 2016, arXiv 1512.00567).
    """
    targets = targets.to(logits.dtype) if targets.is_floating_point() else targets
    return F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """(items, values) and the same, or (items,) for one value → (items,), mean over values."""
    return (outputs - targets.view_as(outputs)).square().mean(-1)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """(items, labels) and the same in 0..1, or (items,) for one label → (items,), mean over labels."""
    targets = targets.view_as(logits).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(-1)


TASK_LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "squared_error": squared_error,
    "binary_cross_entropy": binary_cross_entropy,
}
