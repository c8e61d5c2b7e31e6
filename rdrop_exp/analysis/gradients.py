"""Gradient metrics of one set of weights, from flat gradients that come one at a time.

Liu et al. 2023 (arXiv 2303.01500), for mini-batch gradients g_i, i = 1 … n, and the gradient f of the whole
training set without noise:

    norm                 mean of |g_i|
    direction variance   mean over unordered pairs of ½ (1 − cos(g_i, g_j))
    direction error      mean of ½ (1 − cos(g_i, f))

and what the paper argues in words: squared bias |E g − f|² and variance E |g − E g|². All of it in one pass, with six
model-sized vectors (f, three sums, two to compute in) beside the gradient at hand, however many batches there are.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rdrop_exp.report.statistics import mean_sd, t_interval, t_quantile


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over batches with its 95 % interval; None where the batches are too few or all alike."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientMetrics:
    batches: int
    norm: Estimate
    direction_variance: Estimate
    direction_error: Estimate
    squared_bias: float
    """Unbiased, so that it may fall below 0 where there is none."""
    variance: float
    """Of one mini-batch's gradient, summed over the parameters."""
    full_norm: float


def dot(a: Tensor, b: Tensor, scratch: Tensor | None = None) -> Tensor:
    """Inner product, (size,) twice → scalar. At 30 million float32, torch.dot on a CPU is off by 2e-5, this by 1e-7.

    `scratch`, (size,) as well, is overwritten; without one it is allocated, which takes longer than the product.
    """
    return torch.mul(a, b, out=scratch).sum()


def measure(gradients: Iterable[Tensor], full: Tensor, batches: int) -> GradientMetrics:
    """The metrics of `batches` gradients, (size,) each, against that of the whole training set, `full` (size,).

    A gradient of zero has no direction and counts as orthogonal to all others. `ValueError` unless `batches` come.
    """
    half = batches // 2
    first, second, off = torch.zeros_like(full), torch.zeros_like(full), torch.zeros_like(full)
    scratch, difference = torch.empty_like(full), torch.empty_like(full)
    full_norm = dot(full, full, scratch).sqrt()
    rows = []
    for i, g in enumerate(gradients):
        torch.sub(g, full, out=difference)
        norm = dot(g, g, scratch).sqrt()
        shrink = torch.where(norm > 0, 1 / norm, 0.0)  # to length 1
        cosine = dot(g, full, scratch) * shrink / torch.where(full_norm > 0, full_norm, 1.0)
        against = dot(g, first, scratch) * shrink / max(half, 1)  # used from `half` on, when `first` is complete
        rows.append(torch.stack([norm, cosine, against, norm * shrink, dot(difference, difference, scratch)]))
        (first if i < half else second).addcmul_(g, shrink)
        off.add_(difference)
    if len(rows) != batches or batches < 2:
        raise ValueError(f"{len(rows)} gradients came, {max(batches, 2)} were announced")
    first.add_(second)
    sums = torch.stack([dot(first, first, scratch), dot(off, off, scratch), full_norm]).tolist()  # the only wait
    table = torch.stack(rows).tolist()
    norms, cosines, againsts, units, squares = zip(*table, strict=True)
    bias, variance = bias_and_variance(sums[1], squares)
    return GradientMetrics(
        batches=batches,
        norm=with_t_interval(norms),
        direction_variance=direction_variance(sums[0], math.fsum(units), batches, againsts[half:]),
        direction_error=with_t_interval([(1 - c) / 2 for c in cosines]),
        squared_bias=bias,
        variance=variance,
        full_norm=sums[2],
    )


def direction_variance(square: float, units: float, batches: int, against: Sequence[float]) -> Estimate:
    """Mean over pairs of ½ (1 − cos), from |Σ u_i|² and Σ |u_i|² of the unit gradients u_i (1 each, or 0).

    Σ over ordered pairs of u_i · u_j = |Σ u_i|² − Σ |u_i|². The interval is Hoeffding's for such means over pairs
    (1948): the variance is 4 Var(h) / n to first order, h of a gradient being its mean ½ (1 − cos) to all others. h of
    each takes all gradients, or a second pass over them; instead the second half's is taken against the sum of the
    first half (`against`: mean cosines), which costs one more vector and covers nearly as often as the jackknife.
    """
    value = (1 - (square - units) / (batches * (batches - 1))) / 2
    _, sd = mean_sd([(1 - c) / 2 for c in against])
    if not sd:
        return Estimate(value)
    reach = t_quantile(0.975, len(against) - 1) * 2 * sd / math.sqrt(batches)
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


def bias_and_variance(off: float, squares: Sequence[float]) -> tuple[float, float]:
    """Unbiased |E g − f|² and E |g − E g|², from |Σ (g_i − f)|² and each |g_i − f|².

    variance = (Σ |g_i − f|² − |Σ (g_i − f)|² / n) / (n − 1); the squared distance of the mean gradient from f exceeds
    the squared bias by variance / n on average, which is taken off. Both hold for batches drawn independently.
    """
    n = len(squares)
    variance = max(0.0, (math.fsum(squares) - off / n) / (n - 1))
    return off / n**2 - variance / n, variance


def with_t_interval(values: Sequence[float]) -> Estimate:
    low, high = t_interval(values) or (None, None)
    return Estimate(math.fsum(values) / len(values), low, high)


def distance(weights: Tensor, initial: Tensor) -> tuple[float, float]:
    """|w − w0| and |w − w0| / |w0|, of (size,) each; the second is infinite where w0 is zero."""
    moved = weights - initial
    found, base = torch.stack([dot(moved, moved), dot(initial, initial)]).sqrt().tolist()
    return found, found / base if base else math.inf
