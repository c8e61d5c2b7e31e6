"""The batch loss for a training loop of one's own."""

from torch import Tensor

from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.tasks.losses import TASK_LOSSES
from rdrop_exp.train.losses import DIVERGENCES, loss


def rdrop_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    alpha: float,
    passes: int | None = None,
    divergence: str = "kl",
    label_smoothing: float = 0.0,
    mask: Tensor | None = None,
    task: str = "cross_entropy",
    stop_gradient: bool = False,
    teacher: Tensor | None = None,
) -> Tensor:
    """Mean task loss of all passes + alpha * mean divergence between them, a scalar.

    Args:
        logits: (passes * batch, ..., classes), pass by pass.
        targets: (batch, ...).
        alpha: Weight of the divergence; 0: the plain task loss.
        passes: None: the ratio of the rows of `logits` and `targets`.
        divergence: kl or brier, or for other tasks mse or bernoulli.
        label_smoothing: As in PyTorch's cross-entropy.
        mask: (batch, ...), true for items that count; None: all, except tokens whose target is -100.
        task: cross_entropy, squared_error (with mse) or binary_cross_entropy (with bernoulli).
        stop_gradient: Take the other pass as a fixed target of the divergence.
        teacher: (batch, ..., classes), without gradient; the passes are tied to it instead of each other.

    Raises:
        OptionError: A ValueError of one sentence, such as for a negative alpha.

    Examples:
        >>> import torch, rdrop_exp
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])  # two passes of one item
        >>> targets = torch.tensor([0])
        >>> round(rdrop_exp.rdrop_loss(logits, targets, alpha=0.0).item(), 4)
        0.41
        >>> round(rdrop_exp.rdrop_loss(logits, targets, alpha=1.0).item(), 4)  # + 1/2 (KL(p || q) + KL(q || p))
        0.7908
    """
    for name, value, choices in (("divergence", divergence, DIVERGENCES), ("task", task, TASK_LOSSES)):
        if value not in choices:
            raise OptionError(f"{name}={value} is not a choice{nearest(value, choices)}")
    if not alpha >= 0:
        raise OptionError(f"alpha={alpha:g} must be at least 0")
    rows, items = len(logits), len(targets)
    passes = passes or max(1, rows // max(items, 1))
    if rows != passes * items:
        raise OptionError(f"{rows} rows of logits are not {passes} passes of {items} targets: repeat the inputs only")
    if mask is None and targets.ndim > 1 and not targets.is_floating_point():
        mask = targets != -100
    return loss(
        logits, targets, passes=passes, alpha=alpha, mask=mask, task=task, label_smoothing=label_smoothing,
        divergence=divergence, stop_gradient=stop_gradient, teacher=teacher,
    ).total  # fmt: skip
