"""Losses over a vocabulary in chunks: the same numbers and gradients as at once, and what is in print per token."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rdrop_exp.train import losses
from rdrop_exp.train.losses import Loss, loss
from rdrop_exp.train.token_losses import TokenLosses

LENGTH, CLASSES = 5, 7


def draw(passes: int, batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (passes * batch, length, classes) in float64, targets (batch, length), and a mask with padding."""
    g = torch.Generator().manual_seed(passes)
    outputs = 3 * torch.randn(passes * batch, LENGTH, CLASSES, generator=g, dtype=torch.float64)
    mask = torch.arange(LENGTH) < torch.tensor([LENGTH, 3, 1])[:, None]
    return outputs.requires_grad_(), torch.randint(CLASSES, (batch, LENGTH), generator=g), mask


@pytest.fixture(params=[False, True], ids=["whole", "chunked"])
def chunked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param:
        monkeypatch.setattr(losses, "WHOLE", 0)
        monkeypatch.setitem(losses.CHUNK, "cpu", 4 * CLASSES)
    return bool(request.param)


@pytest.mark.parametrize("stop_gradient", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("passes", [1, 2, 3])
def test_chunks_change_nothing(
    monkeypatch: pytest.MonkeyPatch, passes: int, smoothing: float, stop_gradient: bool
) -> None:
    outputs, targets, mask = draw(passes)

    def both() -> tuple[Loss, Tensor]:
        found = loss(
            outputs, targets, passes=passes, alpha=0.7, mask=mask, label_smoothing=smoothing,
            stop_gradient=stop_gradient,
        )  # fmt: skip
        return found, torch.autograd.grad(found.total, outputs)[0]

    whole = both()
    monkeypatch.setattr(losses, "WHOLE", 0)
    for size in (1, 4 * CLASSES * passes, 10**9):  # a token at a time; four, and the rest in the last chunk; all
        monkeypatch.setitem(losses.CHUNK, "cpu", size)
        torch.testing.assert_close(both(), whole, rtol=1e-12, atol=1e-14)


def test_padding_may_hold_anything(chunked: bool) -> None:
    outputs, targets, mask = draw(2)
    expected = loss(outputs, targets, passes=2, alpha=1.0, mask=mask).total
    dirty = outputs.detach().masked_fill(~mask.repeat(2, 1)[..., None], torch.nan).requires_grad_()
    found = loss(dirty, targets.masked_fill(~mask, -1), passes=2, alpha=1.0, mask=mask).total
    found.backward()
    assert found.item() == expected.item()
    assert dirty.grad is not None
    assert dirty.grad[~mask.repeat(2, 1)].abs().max() == 0


def test_no_consistency_without_alpha(chunked: bool) -> None:
    outputs, targets, mask = draw(2)
    found = loss(outputs, targets, passes=2, alpha=0.0, mask=mask)
    assert (found.total, found.consistency) == (found.task, 0)


def test_smoothed_loss_is_that_of_transformers(chunked: bool) -> None:
    from transformers.modeling_outputs import CausalLMOutput
    from transformers.trainer_pt_utils import LabelSmoother

    outputs, targets, mask = draw(1)
    labels = targets.masked_fill(~mask, -100)
    expected = LabelSmoother(epsilon=0.1)(CausalLMOutput(logits=outputs), labels)  # type: ignore[arg-type]
    assert loss(outputs, targets, mask=mask, label_smoothing=0.1).total.item() == pytest.approx(expected.item())


def test_smoothed_rdrop_is_that_of_the_translation_code(chunked: bool) -> None:
    """fairseq's form, restated: sums over tokens that count, CE_1 + CE_2 + alpha KL, epsilon shared by the others."""
    outputs, targets, mask = draw(2)
    epsilon, alpha = 0.1, 5.0
    log_p = F.log_softmax(outputs, -1)
    both = torch.cat([targets, targets])
    nll = -log_p.gather(-1, both[..., None])[..., 0]
    others = -log_p.sum(-1)
    share = epsilon / (CLASSES - 1)
    smoothed = (1 - epsilon - share) * nll + share * others
    a, b = log_p.chunk(2)
    kl = 0.5 * (F.kl_div(a, b.exp(), reduction="none") + F.kl_div(b, a.exp(), reduction="none")).sum(-1)
    published = (smoothed * torch.cat([mask, mask])).sum() + alpha * (kl * mask).sum()

    ours = share * CLASSES  # here the right class has a share of the smoothing, too
    found = loss(outputs, targets, passes=2, alpha=alpha / 2, mask=mask, label_smoothing=ours)
    assert found.total.item() == pytest.approx(published.item() / (2 * int(mask.sum())))


def test_rdrop_of_tokens_against_a_loop(chunked: bool) -> None:
    outputs, targets, mask = draw(3)
    passes = outputs.detach().view(3, *mask.shape, CLASSES).softmax(-1)
    total = 0.0
    for row, column in mask.nonzero().tolist():
        p = passes[:, row, column]
        total -= sum(q[targets[row, column]].log().item() for q in p) / 3
        pairs = [(0, 1), (0, 2), (1, 2)]
        kl = sum(float((p[i] * (p[i] / p[j]).log() + p[j] * (p[j] / p[i]).log()).sum()) / 2 for i, j in pairs) / 3
        total += 0.5 * kl
    found = loss(outputs, targets, passes=3, alpha=0.5, mask=mask)
    assert found.total.item() == pytest.approx(total / int(mask.sum()))


def test_outputs_of_half_precision_get_their_gradient_in_it(chunked: bool) -> None:
    outputs, targets, mask = draw(2)
    exact = torch.autograd.grad(loss(outputs, targets, passes=2, alpha=1.0, mask=mask).total, outputs)[0]
    half = outputs.detach().bfloat16().requires_grad_()
    found = loss(half, targets, passes=2, alpha=1.0, mask=mask)
    found.total.backward()
    assert found.total.dtype == torch.float32
    assert half.grad is not None
    assert half.grad.dtype == torch.bfloat16
    torch.testing.assert_close(half.grad.double(), exact, rtol=0.1, atol=5e-3)


def test_a_token_batch_is_chunked_above_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    original = TokenLosses.forward

    def forward(ctx: Any, *arguments: Any) -> Any:
        calls.append(arguments[3])
        return original(ctx, *arguments)

    monkeypatch.setattr(TokenLosses, "forward", forward)
    outputs = torch.zeros(2, losses.WHOLE // CLASSES, CLASSES)
    targets = torch.zeros(outputs.shape[:2], dtype=torch.int64)
    loss(outputs[:1], targets[:1], mask=targets[:1] == 0)
    assert not calls
    assert loss(outputs, targets, mask=targets == 0).total.item() == pytest.approx(torch.tensor(CLASSES).log().item())
    assert calls == [losses.CHUNK["cpu"] // CLASSES]
