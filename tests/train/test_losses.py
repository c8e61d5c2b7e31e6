"""The losses against an independent float64 reference, and what must hold of them for any input (hypothesis)."""

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rdrop_exp.config.checks import from_dict
from rdrop_exp.tasks.losses import TASK_LOSSES
from rdrop_exp.train import losses, trial
from rdrop_exp.train.losses import DIVERGENCES, Loss, consistency, loss
from tests.conftest import SMALL, merged

steady = settings(deadline=None, derandomize=True, max_examples=60)
SIZES = st.tuples(st.integers(2, 4), st.integers(1, 6), st.integers(2, 7), st.integers(0, 2**31))
PAIRED = {"cross_entropy": "kl", "squared_error": "mse", "binary_cross_entropy": "bernoulli"}


def draw(passes: int, items: int, classes: int, seed: int, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    """Outputs (passes * items, classes) in float64 and class targets (items,)."""
    g = torch.Generator().manual_seed(seed)
    outputs = scale * torch.randn(passes * items, classes, generator=g, dtype=torch.float64)
    return outputs, torch.randint(classes, (items,), generator=g)


def targets_of(task: str, classes: Tensor, count: int) -> Tensor:
    """Targets as the task wants them: classes, real values, or several labels."""
    hot = F.one_hot(classes, count).double()
    return {"cross_entropy": classes, "squared_error": 2 * hot - 0.3, "binary_cross_entropy": hot}[task]


# -- the reference: numpy, float64, sums written out ------------------------------------------------------------------


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max()
    return x - math.log(np.exp(x).sum())


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def reference_divergence(name: str, a: np.ndarray, b: np.ndarray) -> float:
    if name == "mse":
        return float(sum((x - y) ** 2 for x, y in zip(a, b, strict=True))) / len(a)
    if name == "kl":
        logs = list(zip(log_softmax(a).tolist(), log_softmax(b).tolist(), strict=True))
        forward = sum(math.exp(x) * (x - y) for x, y in logs)
        return 0.5 * (forward + sum(math.exp(y) * (y - x) for x, y in logs))
    total = 0.0
    for p, q in ((sigmoid(x), sigmoid(y)) for x, y in zip(a, b, strict=True)):
        total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        total += q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
    return 0.5 * total / len(a)


def reference_task(task: str, x: np.ndarray, target: np.ndarray) -> float:
    if task == "squared_error":
        return float(np.mean((x - target) ** 2))
    if task == "binary_cross_entropy":
        p = np.array([sigmoid(v) for v in x])
        return float(-np.mean(target * np.log(p) + (1 - target) * np.log(1 - p)))
    return -float(log_softmax(x)[target]) if target.ndim == 0 else -float((log_softmax(x) * target).sum())


def reference(outputs: Tensor, targets: Tensor, passes: int, alpha: float, keep: list[bool], task: str) -> Loss:
    x, t = outputs.numpy().reshape(passes, len(targets), -1), targets.numpy()
    kept = [i for i, k in enumerate(keep) if k]
    tasks = sum(reference_task(task, x[j, i], t[i]) for j in range(passes) for i in kept) / passes / len(kept)
    pairs = list(combinations(range(passes), 2))
    each = (reference_divergence(PAIRED[task], x[j, i], x[k, i]) for j, k in pairs for i in kept)
    divergence = sum(each) / len(pairs) / len(kept)
    return Loss(*(torch.tensor(v, dtype=torch.float64) for v in (tasks + alpha * divergence, tasks, divergence)))


@pytest.mark.parametrize("task", TASK_LOSSES)
@steady
@given(SIZES, st.floats(0.01, 10), st.data())
def test_equals_the_reference(task: str, sizes: tuple[int, ...], alpha: float, data: st.DataObject) -> None:
    passes, items, classes, _ = sizes
    outputs, labels = draw(*sizes)
    keep = data.draw(st.lists(st.booleans(), min_size=items, max_size=items).filter(any))
    targets = targets_of(task, labels, classes)
    found = loss(
        outputs, targets, passes=passes, alpha=alpha, mask=torch.tensor(keep), task=task, divergence=PAIRED[task]
    )
    torch.testing.assert_close(found, reference(outputs, targets, passes, alpha, keep, task), rtol=1e-9, atol=1e-12)


@steady
@given(SIZES)
def test_tokens_with_a_mask_are_items(sizes: tuple[int, ...]) -> None:
    passes, items, classes, _ = sizes
    outputs, labels = draw(passes, 2 * items, *sizes[2:])
    mask = torch.arange(2 * items).view(items, 2) % 3 > 0
    if not mask.any():
        mask[0] = True
    shaped = outputs.view(passes * items, 2, classes)
    found = loss(shaped, labels.view(items, 2), passes=passes, alpha=1.0, mask=mask)
    expected = reference(outputs, labels, passes, 1.0, mask.flatten().tolist(), "cross_entropy")
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_padding_counts_for_nothing_whatever_it_holds() -> None:
    outputs, labels = draw(2, 6, 5, 0)
    mask = torch.tensor([1, 1, 0, 1, 0, 1]).bool()
    short = torch.cat([outputs[:6][mask], outputs[6:][mask]])
    expected = loss(short, labels[mask], passes=2, alpha=0.7)
    outputs[2], outputs[10], labels[4] = math.nan, math.inf, -100
    outputs.requires_grad_()
    found = loss(outputs, labels, passes=2, alpha=0.7, mask=mask)
    torch.testing.assert_close(found, expected)
    found.total.backward()
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()
    assert not outputs.grad.view(2, 6, 5)[:, ~mask].any()


# -- properties -------------------------------------------------------------------------------------------------------


def test_a_divergence_of_ones_own_is_one_function_and_one_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absolute(a: Tensor, b: Tensor, fixed: bool = False) -> Tensor:
        return (a.softmax(-1) - b.softmax(-1)).abs().sum(-1)

    monkeypatch.setitem(losses.DIVERGENCES, "absolute", absolute)
    r = {"dropout": 0.2, "alpha": 1.0}
    results = []
    for name in ("kl", "absolute"):
        values = {"output_dir": str(tmp_path), "regularizer": r | {"divergence": name}}
        result = trial.run(from_dict(merged(SMALL, values)))
        assert result is not None
        results.append(result)
    assert results[0]["identity"] != results[1]["identity"]
    assert results[0]["metrics"]["train/consistency"] != results[1]["metrics"]["train/consistency"] > 0


@pytest.mark.parametrize("name", DIVERGENCES)
@steady
@given(SIZES)
def test_divergences_are_symmetric_nonnegative_and_zero_for_equal_passes(name: str, sizes: tuple[int, ...]) -> None:
    a, b = draw(2, *sizes[1:])[0].float().chunk(2)
    distance = DIVERGENCES[name]
    assert distance(a, b, False).shape == (len(a),)
    assert torch.equal(distance(a, b, False), distance(b, a, False))
    assert (distance(a, b, False) >= 0).all()
    assert (distance(a, a + 1e-4 * b, False) >= 0).all()
    assert not distance(a, a, False).any()


@pytest.mark.parametrize("name", ["kl", "bernoulli"])
def test_a_kl_does_not_change_when_logits_shift(name: str) -> None:
    a, b = draw(2, 5, 4, 1)[0].chunk(2)
    shifts = torch.randn(5, 1, dtype=torch.float64)
    moved = DIVERGENCES[name](a + shifts, b + 2 * shifts, False)
    same = torch.allclose(moved, DIVERGENCES[name](a, b, False))
    assert same == (name == "kl")  # a sigmoid has no such freedom


@pytest.mark.parametrize("name", DIVERGENCES)
@steady
@given(SIZES, st.permutations(range(4)))
def test_the_order_of_passes_does_not_matter(name: str, sizes: tuple[int, ...], order: list[int]) -> None:
    passes = draw(4, *sizes[1:])[0].view(4, *sizes[1:3])
    torch.testing.assert_close(consistency(passes, name), consistency(passes[list(order)], name))


@steady
@given(SIZES, st.floats(0, 10), st.integers(1, 4))
def test_accumulation_changes_nothing(sizes: tuple[int, ...], alpha: float, parts: int) -> None:
    passes, items, classes, _ = sizes
    outputs, labels = draw(*sizes)
    mask = torch.arange(items) % 4 != 1
    outputs.requires_grad_()
    whole = loss(outputs, labels, passes=passes, alpha=alpha, mask=mask)
    (expected,) = torch.autograd.grad(whole.total, outputs)
    rows = outputs.view(passes, items, classes)
    pieces = [
        loss(rows[:, i].flatten(0, 1), labels[i], passes=passes, alpha=alpha, mask=mask[i], items=mask.sum())
        for i in torch.arange(items).chunk(parts)
    ]
    for added, all_at_once in zip(map(sum, zip(*pieces, strict=True)), whole, strict=True):
        torch.testing.assert_close(added, all_at_once)
    (gradient,) = torch.autograd.grad(torch.stack([piece.total for piece in pieces]).sum(), outputs)
    torch.testing.assert_close(gradient, expected)


def test_alpha_zero_is_the_plain_loss_bit_for_bit() -> None:
    outputs, labels = draw(1, 50, 10, 3)
    outputs = outputs.float()
    assert torch.equal(loss(outputs, labels).total, F.cross_entropy(outputs, labels, reduction="none").sum() / 50)
    twice = loss(outputs.repeat(2, 1), labels, passes=2, alpha=5.0)
    assert torch.equal(twice.consistency, torch.tensor(0.0))
    assert torch.equal(twice.total, loss(outputs, labels).total)
    assert loss(outputs, labels, passes=2 // 2, alpha=5.0).consistency == 0


def test_label_smoothing_and_mixed_targets() -> None:
    outputs, labels = draw(2, 8, 5, 4)
    hot = F.one_hot(labels, 5).float()
    smooth = hot * 0.9 + 0.1 / 5
    both = F.cross_entropy(outputs, labels.repeat(2), label_smoothing=0.1)
    torch.testing.assert_close(loss(outputs, smooth, passes=2).total, both)
    mixed = 0.3 * hot + 0.7 * hot.flip(0)
    parts = [F.cross_entropy(outputs, t.repeat(2)) for t in (labels, labels.flip(0))]
    torch.testing.assert_close(loss(outputs, mixed, passes=2).total, 0.3 * parts[0] + 0.7 * parts[1])
    hard = [loss(outputs, t, passes=2, alpha=1.0) for t in (labels, hot.double())]
    torch.testing.assert_close(hard[0], hard[1])


def test_one_value_or_label_needs_no_dimension_of_its_own() -> None:
    outputs = torch.tensor([[1.0], [2.0], [3.0], [5.0]])
    values = torch.tensor([0.0, 1.0])
    found = loss(outputs, values, passes=2, alpha=2.0, task="squared_error", divergence="mse")
    # R-Drop's regression form is (y - y1)^2 + (y - y2)^2 + a (y1 - y2)^2 per item: twice this with a = 2 alpha
    by_hand = [(0 - 1) ** 2 + (0 - 3) ** 2 + 4 * (1 - 3) ** 2, (1 - 2) ** 2 + (1 - 5) ** 2 + 4 * (2 - 5) ** 2]
    assert found.total == sum(by_hand) / 2 / 2
    labels = torch.tensor([0.0, 1.0])
    one = loss(outputs, labels, passes=2, task="binary_cross_entropy").total
    torch.testing.assert_close(one, F.binary_cross_entropy_with_logits(outputs[:, 0], labels.repeat(2)))


# -- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASK_LOSSES)
@pytest.mark.parametrize("passes", [1, 2, 3])
def test_gradients_by_finite_differences(task: str, passes: int) -> None:
    outputs, labels = draw(passes, 4, 5, 7, scale=1.0)
    targets = targets_of(task, labels, 5)
    mask = torch.tensor([True, False, True, True])

    def total(x: Tensor) -> Tensor:
        return loss(x, targets, passes=passes, alpha=0.7, mask=mask, task=task, divergence=PAIRED[task]).total

    assert torch.autograd.gradcheck(total, outputs.requires_grad_())


@pytest.mark.parametrize("name", DIVERGENCES)
def test_stop_gradient_keeps_the_value_and_fixes_the_targets(name: str) -> None:
    a, b = (x.requires_grad_() for x in draw(2, 6, 4, 8)[0].chunk(2))
    free, fixed = (consistency(torch.stack([a, b]), name, stop) for stop in (False, True))
    assert torch.equal(free, fixed)

    def directed(target: Tensor, prediction: Tensor) -> Tensor:
        target = target.detach()
        if name == "mse":
            return F.mse_loss(prediction, target, reduction="none").mean(-1)
        if name == "brier":
            return F.mse_loss(prediction.softmax(-1), target.softmax(-1), reduction="none").mean(-1)
        if name == "kl":
            return F.kl_div(prediction.log_softmax(-1), target.softmax(-1), reduction="none").sum(-1)
        return F.binary_cross_entropy_with_logits(prediction, target.sigmoid(), reduction="none").mean(-1)

    expected = torch.autograd.grad(0.5 * (directed(a, b) + directed(b, a)).sum(), (a, b))
    torch.testing.assert_close(torch.autograd.grad(fixed.sum(), (a, b)), expected)
    if name not in ("mse", "brier"):  # where roles differ, this is more than a smaller alpha
        assert not torch.allclose(expected[0], 0.5 * torch.autograd.grad(free.sum(), a)[0])


@pytest.mark.parametrize("stop_gradient", [False, True])
@pytest.mark.parametrize("task", TASK_LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_safe_at_huge_logits_in_low_precision(dtype: torch.dtype, task: str, stop_gradient: bool) -> None:
    huge = torch.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0], [-1e4, 1e4, 1e4], [1e4, 1e4, 1e4]])
    outputs = torch.cat([huge, -huge]).to(dtype).requires_grad_()
    targets = targets_of(task, torch.tensor([1, 0, 2, 1]), 3)
    found = loss(outputs, targets, passes=2, alpha=1.0, task=task, divergence=PAIRED[task], stop_gradient=stop_gradient)
    found.total.backward()
    assert outputs.grad is not None
    assert outputs.grad.dtype == dtype
    assert outputs.grad.isfinite().all()
    assert all(part.isfinite() and part.dtype in (torch.float32, torch.float64) for part in found)
    assert found.consistency > 1e3


@pytest.mark.parametrize("stop_gradient", [False, True])
@pytest.mark.parametrize("passes", [2, 4])
def test_chunks_and_their_gradient_in_closed_form_change_nothing(
    monkeypatch: pytest.MonkeyPatch, passes: int, stop_gradient: bool
) -> None:
    outputs = draw(passes, 7, 5, 3)[0].view(passes, 7, 5).requires_grad_()
    weights = torch.arange(7.0, dtype=torch.float64)

    def gradient() -> tuple[Tensor, Tensor]:
        found = consistency(outputs, "kl", stop_gradient)
        return found, torch.autograd.grad((found * weights).sum(), outputs)[0]

    whole = gradient()
    monkeypatch.setattr(losses, "WHOLE", 0)
    for size in (1, 2 * passes * 5, 10**9):  # an item at a time; two, and one in the last chunk; all
        monkeypatch.setitem(losses.CHUNK, "cpu", size)
        torch.testing.assert_close(gradient(), whole, rtol=1e-12, atol=1e-14)


def test_chunks_hold_at_huge_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "WHOLE", 0)
    huge = torch.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0], [1e4, 1e4, 1e4]])
    outputs = torch.stack([huge, -huge]).requires_grad_()
    consistency(outputs).sum().backward()
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()
