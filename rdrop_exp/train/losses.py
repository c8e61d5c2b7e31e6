"""The batch loss and consistency losses: pure functions over the outputs of one or several noisy passes.

One normalisation, per item (a sample, or a token that counts) and for m passes:

    L = (1/m) sum_j CE_j + alpha * D,   D = mean over unordered pairs of 1/2 [KL(p_i || p_j) + KL(p_j || p_i)]

and the batch loss is the mean over items. R-Drop (arXiv 2106.14448, equation 4) writes CE_1 + CE_2 + alpha' * D, which
is 2 L with alpha' = 2 alpha; `PUBLISHED` converts each alpha in print, as docs/normalisation.md explains. With a
teacher, D is the mean over passes of the divergence between each and the teacher. Arithmetic is in float32, or finer
where the outputs are.
"""

from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rdrop_exp.tasks.losses import TASK_LOSSES
from rdrop_exp.train.divergences import DIVERGENCES
from rdrop_exp.train.token_losses import TokenLosses, kl_gradient


class Loss(NamedTuple):
    """Scalars: what is minimised, and its two parts before weighting."""

    total: Tensor
    task: Tensor
    consistency: Tensor


WHOLE = 2**22
"""Elements of the outputs (passes * items * classes) up to which their divergence is computed at once."""
CHUNK = {"cpu": 2**17, "cuda": 2**23}
"""Elements at a time beyond that: what a core's cache holds; what keeps a GPU busy."""


def consistency(
    outputs: Tensor, divergence: str = "kl", stop_gradient: bool = False, teacher: Tensor | None = None
) -> Tensor:
    """Mean divergence over unordered pairs of passes: (passes, items, classes) → (items,).

    With a teacher's outputs (items, classes), the mean over passes of the divergence of each from those.
    """
    if divergence == "kl" and outputs.numel() > WHOLE and teacher is None:
        divergences: Tensor = _ChunkedKL.apply(outputs, stop_gradient)
        return divergences
    return _whole(outputs, divergence, stop_gradient, teacher)


def _whole(outputs: Tensor, divergence: str, stop_gradient: bool, teacher: Tensor | None = None) -> Tensor:
    distance, passes = DIVERGENCES[divergence], outputs.unbind(0)
    pairs = combinations(passes, 2) if teacher is None else ((one, teacher) for one in passes)
    return torch.stack([distance(a, b, stop_gradient) for a, b in pairs]).mean(0)


class _ChunkedKL(torch.autograd.Function):
    """`consistency` by `kl`, some items at a time, its gradient in closed form: all that is as large as the outputs."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, fixed: bool) -> Tensor:
        ctx.save_for_backward(outputs)
        ctx.fixed = fixed
        return torch.cat([_whole(x, "kl", False) for x in torch.split(outputs, _items(outputs), 1)])

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (outputs,) = ctx.saved_tensors
        result, items = torch.empty_like(outputs), _items(outputs)
        parts = (result, 1), (outputs, 1), (gradient, 0)
        for out, x, g in zip(*(torch.split(t, items, d) for t, d in parts), strict=True):
            kl_gradient(x.log_softmax(-1), ctx.fixed, out)
            out *= g[:, None] / (len(x) - 1)
        return result, None


def _items(outputs: Tensor) -> int:
    """How many items make a chunk."""
    return max(1, CHUNK.get(outputs.device.type, CHUNK["cuda"]) // (len(outputs) * outputs.shape[-1]))


def loss(
    outputs: Tensor,
    targets: Tensor,
    *,
    passes: int = 1,
    alpha: float = 0.0,
    mask: Tensor | None = None,
    items: int | Tensor | None = None,
    task: str = "cross_entropy",
    label_smoothing: float = 0.0,
    divergence: str = "kl",
    stop_gradient: bool = False,
    teacher: Tensor | None = None,
) -> Loss:
    """The batch loss. Outputs (passes * batch, ..., classes), pass by pass; targets (batch, ...) or as the task wants.

    `teacher` (batch, ..., classes), without gradient, is what the passes are tied to instead of each other.
    `mask` (batch, ...) selects the items that count; `items` is what the sum over them is divided by, by default their
    number: give the number in the whole effective batch when this is one micro-batch of it. Labels are smoothed where
    targets are classes: probabilities are smoothed where they are made.
    """
    outputs = outputs.reshape(passes, -1, outputs.shape[-1])
    count, alone = outputs.shape[1], alpha == 0.0 or (passes == 1 and teacher is None)
    targets = targets.reshape(count, *targets.shape[-1:]) if targets.numel() != count else targets.reshape(count)
    skip = None if mask is None else ~mask.reshape(count)
    if items is None:
        items = count if mask is None else mask.sum()

    def mean(losses: Tensor) -> Tensor:
        return (losses if skip is None else losses * ~skip).sum() / items

    classes = task == "cross_entropy" and not targets.is_floating_point()
    pairs = divergence == "kl" and teacher is None
    if skip is not None and classes and outputs.numel() > WHOLE and (alone or pairs):
        each, apart = TokenLosses.apply(outputs, targets, skip, _items(outputs), label_smoothing, stop_gradient)
    else:
        outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        teacher = None if teacher is None else teacher.reshape(count, -1).to(outputs.dtype)
        if skip is not None and classes and alone:
            targets = targets.masked_fill(skip, -100)  # which cross-entropy ignores: no copy of the outputs
        elif skip is not None:  # zeros where padding holds who knows what; to select by index would wait for the device
            outputs = outputs.masked_fill(skip[:, None], 0)
            targets = targets.masked_fill(skip if targets.ndim == 1 else skip[:, None], 0)
            teacher = None if teacher is None else teacher.masked_fill(skip[:, None], 0)
        smoothing = {} if targets.is_floating_point() or not label_smoothing else {"smoothing": label_smoothing}
        each = TASK_LOSSES[task](outputs.flatten(0, 1), torch.cat([targets] * passes), **smoothing).view(passes, count)
        apart = None if alone else consistency(outputs, divergence, stop_gradient, teacher)
    task_loss = mean(each.mean(0))
    if alone:
        return Loss(task_loss, task_loss, torch.zeros_like(task_loss))
    divergence_loss = mean(apart)
    return Loss(task_loss + alpha * divergence_loss, task_loss, divergence_loss)


class Published(NamedTuple):
    """How a setting in print becomes one of this project."""

    alpha: Callable[[float, int], float]
    """(alpha in print, items that its KL is summed over) → alpha here."""
    learning_rate: float
    """Factor of the learning rate, for optimizers that feel the loss's scale (SGD; not Adam)."""


PUBLISHED: dict[str, Published] = {
    "paper": Published(lambda alpha, items: alpha / 2, 2.0),
    "readme": Published(lambda alpha, items: alpha, 1.0),
    "readme_sum": Published(lambda alpha, items: alpha * items, 1.0),
    "bert_code": Published(lambda alpha, items: alpha * items / 2, 2.0),
    "vit_code": Published(lambda alpha, items: alpha * items, 2.0),
}
"""R-Drop's own normalisations, worked through in docs/normalisation.md."""
