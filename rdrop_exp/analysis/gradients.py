"""Gradient metrics of one set of weights, from flattened gradients in a stream.

Liu et al. 2023 (arXiv 2303.01500), for mini-batch gradients g_i, i = 1 … n, and the gradient f of the whole
training set without noise:

    norm                 mean of |g_i|
    direction variance   mean over unordered pairs of ½ (1 − cos(g_i, g_j))
    direction error      mean of ½ (1 − cos(g_i, f))

and what the paper argues in words: squared bias |E g − f|² and variance E |g − E g|². All are computed in one pass with
six model-sized vectors (f, three sums, two for scratch) beside the current gradient, whatever the number of batches.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rdrop_exp.statistics.paired import mean_sd, t_interval, t_quantile


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval; the ends are None if there are too few values or all are equal."""

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
    """Unbiased, so it can be negative when the true bias is near 0."""
    variance: float
    """Of one mini-batch's gradient, summed over the parameters."""
    full_norm: float


def dot(a: Tensor, b: Tensor, scratch: Tensor | None = None) -> Tensor:
    """Inner product of two (size,) vectors. At 30 million float32, torch.dot on a CPU is off by 2e-5, this by 1e-7.

    `scratch`, (size,), is overwritten; allocating it here would take longer than the product.
    """
    return torch.mul(a, b, out=scratch).sum()


def gradient_metrics(gradients: Iterable[Tensor], full: Tensor, batches: int) -> GradientMetrics:
    """The metrics of `batches` gradients, (size,) each, against that of the whole training set, `full` (size,).

    A zero gradient has no direction and counts as orthogonal to all others. `ValueError` if the number differs.
    """
    half = batches // 2
    first_sum, second_sum, difference_sum = torch.zeros_like(full), torch.zeros_like(full), torch.zeros_like(full)
    scratch, difference = torch.empty_like(full), torch.empty_like(full)
    full_norm = dot(full, full, scratch).sqrt()
    rows = []
    for i, g in enumerate(gradients):
        torch.sub(g, full, out=difference)
        norm = dot(g, g, scratch).sqrt()
        to_unit = torch.where(norm > 0, 1 / norm, 0.0)
        cosine = dot(g, full, scratch) * to_unit / torch.where(full_norm > 0, full_norm, 1.0)
        # The mean cosine to the first half: used for the second half only, when `first_sum` is complete.
        half_cosine = dot(g, first_sum, scratch) * to_unit / max(half, 1)
        rows.append(torch.stack([norm, cosine, half_cosine, norm * to_unit, dot(difference, difference, scratch)]))
        (first_sum if i < half else second_sum).addcmul_(g, to_unit)
        difference_sum.add_(difference)
    if len(rows) != batches or batches < 2:
        raise ValueError(f"expected {max(batches, 2)} gradients, got {len(rows)}")
    first_sum.add_(second_sum)
    squares = [dot(first_sum, first_sum, scratch), dot(difference_sum, difference_sum, scratch)]
    unit_square, difference_square, full_value = torch.stack([*squares, full_norm]).tolist()  # the first device sync
    norms, cosines, half_cosines, units, square_distances = zip(*torch.stack(rows).tolist(), strict=True)
    bias, variance = bias_and_variance(difference_square, square_distances)
    return GradientMetrics(
        batches=batches,
        norm=with_t_interval(norms),
        direction_variance=direction_variance(unit_square, math.fsum(units), batches, half_cosines[half:]),
        direction_error=with_t_interval([(1 - c) / 2 for c in cosines]),
        squared_bias=bias,
        variance=variance,
        full_norm=full_value,
    )


def direction_variance(unit_square: float, units: float, batches: int, half_cosines: Sequence[float]) -> Estimate:
    """Mean over pairs of ½ (1 − cos), from |Σ u_i|² and Σ |u_i|² of the unit gradients u_i (norm 1 each, or 0).

    Σ over ordered pairs of u_i · u_j = |Σ u_i|² − Σ |u_i|². The interval is Hoeffding's for a mean over pairs (1948):
    to first order the variance is 4 Var(h) / n, where h of a gradient is its mean ½ (1 − cos) to all others. An exact h
    needs all gradients, or a second pass over them. Instead each gradient of the second half is compared with the sum
    of the first half (`half_cosines`: mean cosines): one more vector, and a coverage close to the jackknife's.
    """
    value = (1 - (unit_square - units) / (batches * (batches - 1))) / 2
    _, sd = mean_sd([(1 - c) / 2 for c in half_cosines])
    if not sd:
        return Estimate(value)
    margin = t_quantile(0.975, len(half_cosines) - 1) * 2 * sd / math.sqrt(batches)
    return Estimate(value, max(0.0, value - margin), min(1.0, value + margin))


def bias_and_variance(difference_square: float, square_distances: Sequence[float]) -> tuple[float, float]:
    """Unbiased |E g − f|² and E |g − E g|², from |Σ (g_i − f)|² and each |g_i − f|².

    variance = (Σ |g_i − f|² − |Σ (g_i − f)|² / n) / (n − 1). The squared distance of the mean gradient from f exceeds
    the squared bias by variance / n on average, which is subtracted. Both hold for batches drawn independently.
    """
    n = len(square_distances)
    variance = max(0.0, (math.fsum(square_distances) - difference_square / n) / (n - 1))
    return difference_square / n**2 - variance / n, variance


def with_t_interval(values: Sequence[float]) -> Estimate:
    low, high = t_interval(values) or (None, None)
    return Estimate(math.fsum(values) / len(values), low, high)


def distance(weights: Tensor, initial: Tensor) -> tuple[float, float]:
    """|w − w0| and |w − w0| / |w0|, of (size,) each; the ratio is infinite if w0 is zero."""
    difference = weights - initial
    length, initial_length = torch.stack([dot(difference, difference), dot(initial, initial)]).sqrt().tolist()
    return length, length / initial_length if initial_length else math.inf
