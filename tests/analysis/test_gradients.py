"""Gradient metrics against closed forms and against the naive pairwise forms."""

import math
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from rdrop_exp.analysis.gradients import distance, gradient_metrics


def table(count: int, size: int, seed: int = 0, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Gradients (count, size) with a common direction, of very different lengths, and a full gradient."""
    draw = torch.Generator().manual_seed(seed)
    full = torch.randn(size, generator=draw, dtype=torch.float64)
    lengths = torch.randn(count, 1, generator=draw, dtype=torch.float64).exp()
    return lengths * (full + scale * torch.randn(count, size, generator=draw, dtype=torch.float64)), full


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def test_two_gradients_in_the_plane() -> None:
    g = torch.tensor([[3.0, 4.0], [4.0, -3.0]])
    metrics = gradient_metrics(iter(g), torch.tensor([1.0, 0.0]), 2)
    assert metrics.norm.value == 5
    assert metrics.full_norm == 1
    assert metrics.direction_variance.value == pytest.approx(0.5)  # they are orthogonal
    assert metrics.direction_error.value == pytest.approx(0.5 * (1 - (0.6 + 0.8) / 2))
    assert metrics.variance == pytest.approx(25)  # |g - mean|² is 12.5 for both
    assert metrics.squared_bias == pytest.approx(2.5**2 + 0.5**2 - 12.5)
    assert metrics.norm.low is None  # no spread, no interval


@pytest.mark.parametrize("cosine", [1.0, -1.0])
def test_parallel_and_opposite_gradients(cosine: float) -> None:
    metrics = gradient_metrics(iter(torch.tensor([[2.0, 0.0], [2.0 * cosine, 0.0]])), torch.tensor([3.0, 0.0]), 2)
    assert metrics.direction_variance.value == pytest.approx((1 - cosine) / 2)
    assert metrics.direction_error.value == pytest.approx((1 - cosine) / 4)


@pytest.mark.parametrize("count", [2, 3, 7, 20])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_streaming_equals_the_naive_forms(count: int, dtype: torch.dtype) -> None:
    g, full = table(count, 500)
    metrics = gradient_metrics(iter(g.to(dtype)), full.to(dtype), count)
    same: dict[str, Any] = {"rel": 1e-9, "abs": 1e-12} if dtype == torch.float64 else {"rel": 1e-4, "abs": 1e-6}
    pairs = [(1 - cosine(g[i], g[j])) / 2 for i in range(count) for j in range(i)]
    assert metrics.direction_variance.value == pytest.approx(sum(pairs) / len(pairs), **same)
    assert metrics.direction_error.value == pytest.approx(sum((1 - cosine(x, full)) / 2 for x in g) / count, **same)
    assert metrics.norm.value == pytest.approx(float(g.norm(dim=1).mean()), **same)
    variance = float(g.var(dim=0).sum())
    assert metrics.variance == pytest.approx(variance, **same)
    plain = float((g.mean(0) - full).square().sum())
    assert metrics.squared_bias == pytest.approx(plain - variance / count, rel=same["rel"], abs=same["rel"] * plain)


def test_the_order_of_the_batches_does_not_matter() -> None:
    g, full = table(12, 300)
    one, two = (gradient_metrics(iter(g[order]), full, 12) for order in (torch.arange(12), torch.arange(12).flip(0)))
    for name in ("norm", "direction_error"):
        for end in ("value", "low", "high"):
            assert getattr(getattr(one, name), end) == pytest.approx(getattr(getattr(two, name), end))
    assert one.direction_variance.value == pytest.approx(two.direction_variance.value)
    assert (one.squared_bias, one.variance) == pytest.approx((two.squared_bias, two.variance))


def test_squared_bias_and_variance_are_unbiased() -> None:
    truth, sigma, size, count = torch.tensor([0.5, 0.0, 0.0]).double(), 2.0, 3, 5
    draw = torch.Generator().manual_seed(0)
    runs = [
        gradient_metrics(
            iter(truth + sigma * torch.randn(count, size, generator=draw).double()), torch.zeros(3).double(), count
        )
        for _ in range(2000)
    ]
    assert sum(r.variance for r in runs) / 2000 == pytest.approx(size * sigma**2, rel=0.03)
    assert sum(r.squared_bias for r in runs) / 2000 == pytest.approx(0.25, abs=0.1)  # the plain one is 2.65


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth = gradient_metrics(iter(table(4000, 200, seed=1)[0]), torch.ones(200).double(), 4000).direction_variance.value
    full = table(1, 200, seed=1)[1]
    held = total = 0
    for seed in range(300):
        noise = torch.randn(20, 200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        metrics = gradient_metrics(iter(full + noise), full, 20).direction_variance
        assert metrics.low is not None
        assert metrics.high is not None
        held += metrics.low <= truth <= metrics.high
        total += 1
    assert 0.9 <= held / total <= 0.99


def test_gradients_are_let_go_one_after_the_other() -> None:
    alive: list[weakref.ref[Tensor]] = []

    def gradients() -> Iterator[Tensor]:
        for i in range(10):
            g = torch.full((50,), float(i + 1))
            alive.append(weakref.ref(g))
            yield g
            del g
            assert sum(ref() is not None for ref in alive) <= 1

    gradient_metrics(gradients(), torch.ones(50), 10)
    assert len(alive) == 10


def test_a_gradient_of_zero_is_orthogonal_to_all_others() -> None:
    g = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    metrics = gradient_metrics(iter(g), torch.tensor([1.0, 0.0]), 3)
    assert metrics.direction_variance.value == pytest.approx((0 + 0.5 + 0.5) / 3)
    assert metrics.direction_error.value == pytest.approx((0 + 0.5 + 0) / 3)
    assert gradient_metrics(iter(g), torch.zeros(2), 3).direction_error.value == 0.5


@pytest.mark.parametrize(("come", "announced"), [(3, 4), (1, 1)])
def test_missing_gradients_are_an_error(come: int, announced: int) -> None:
    with pytest.raises(ValueError, match=f"got {come}"):
        gradient_metrics(iter(torch.ones(come, 3)), torch.ones(3), announced)


def test_distance() -> None:
    assert distance(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 4.0])) == (3.0, 0.75)
    assert distance(torch.ones(4), torch.zeros(4)) == (2.0, math.inf)
