"""How far apart two passes are: pure functions of their outputs. Importing this does not import torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rdrop_exp.config.registry import Registry
from rdrop_exp.config.schema import OptionError, nearest, shown

if TYPE_CHECKING:
    from torch import Tensor


def _target(x: Tensor, fixed: bool) -> Tensor:
    return x.detach() if fixed else x


def kl(a: Tensor, b: Tensor, fixed: bool = False) -> Tensor:
    """Symmetric KL of two softmaxes, 1/2 sum (p - q)(log p - log q): (items, classes) twice → (items,)."""
    log_p, log_q = a.log_softmax(-1), b.log_softmax(-1)
    return 0.5 * (_target(log_p.exp() - log_q.exp(), fixed) * (log_p - log_q)).sum(-1)


def mse(a: Tensor, b: Tensor, fixed: bool = False) -> Tensor:
    """Squared difference, mean over values: R-Drop's form for regression."""
    return (_target(a - b, fixed) * (a - b)).mean(-1)


def brier(a: Tensor, b: Tensor, fixed: bool = False) -> Tensor:
    """Squared difference of two softmaxes, mean over classes: Mean Teacher's consistency (arXiv 1703.01780)."""
    return mse(a.softmax(-1), b.softmax(-1), fixed)


def bernoulli(a: Tensor, b: Tensor, fixed: bool = False) -> Tensor:
    """Symmetric KL of independent sigmoids, mean over labels: 1/2 (p - q)(logit p - logit q)."""
    return 0.5 * (_target(a.sigmoid() - b.sigmoid(), fixed) * (a - b)).mean(-1)


DIVERGENCES: Registry[Callable[[Tensor, Tensor, bool], Tensor]] = Registry(
    "regularizer.divergence", {"kl": kl, "mse": mse, "brier": brier, "bernoulli": bernoulli}
)
"""Name → symmetric divergence of two passes; a new one is one function and one entry.

The third argument fixes the targets: each pass moves towards the other as it is, 1/2 [KL(sg p || q) + KL(sg q || p)].
The value is the same; of the gradient, what would move a target towards its prediction is left out.
"""


def check_divergence(name: str) -> None:
    """`OptionError` for a divergence that there is not."""
    if name not in DIVERGENCES:
        raise OptionError(f"regularizer.divergence={shown(name)} is not a choice{nearest(name, DIVERGENCES)}")
