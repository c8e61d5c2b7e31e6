"""Each normalisation in print, transcribed literally, is this project's loss once converted; so is mutual learning."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rdrop_exp.models.build import Pair
from rdrop_exp.train.losses import PUBLISHED, loss
from tests.conftest import ROOT


def divergences(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """KL(p1 || p2) and KL(p2 || p1), elementwise: (items, classes) each."""
    log_p, log_q = F.log_softmax(one, -1), F.log_softmax(two, -1)
    return F.kl_div(log_q, log_p.exp(), reduction="none"), F.kl_div(log_p, log_q.exp(), reduction="none")


def paper(one: Tensor, two: Tensor, y: Tensor, alpha: float) -> Tensor:
    """Equations 1 to 4 for each item: - log P1(y) - log P2(y) + alpha / 2 [KL(P1 || P2) + KL(P2 || P1)]; their mean."""
    total = torch.zeros((), dtype=one.dtype)
    for i in range(len(y)):
        p, q = one[i].softmax(0), two[i].softmax(0)
        nll = -(p[y[i]].log()) - q[y[i]].log()
        total = total + nll + alpha * 0.5 * ((p * (p / q).log()).sum() + (q * (q / p).log()).sum())
    return total / len(y)


def translation_code(one: Tensor, two: Tensor, y: Tensor, alpha: float) -> Tensor:
    """Sums over tokens: cross-entropy of the concatenated passes, half the sum of both KLs; divided by the tokens."""
    nll = F.cross_entropy(torch.cat([one, two]), torch.cat([y, y]), reduction="sum")
    forward, backward = divergences(one, two)
    return (nll + alpha * (forward.sum() + backward.sum()) / 2) / len(y)


def readme(one: Tensor, two: Tensor, y: Tensor, alpha: float) -> Tensor:
    """Mean of two cross-entropies; half of both KLs, mean over items."""
    forward, backward = divergences(one, two)
    kl = (forward.sum(-1).mean() + backward.sum(-1).mean()) / 2
    return 0.5 * (F.cross_entropy(one, y) + F.cross_entropy(two, y)) + alpha * kl


def readme_sum(one: Tensor, two: Tensor, y: Tensor, alpha: float) -> Tensor:
    """The same with `sum`."""
    forward, backward = divergences(one, two)
    return 0.5 * (F.cross_entropy(one, y) + F.cross_entropy(two, y)) + alpha * (forward.sum() + backward.sum()) / 2


def bert_code(one: Tensor, two: Tensor, y: Tensor, alpha: float) -> Tensor:
    """Sum of two mean cross-entropies; half of both KLs, summed over the batch."""
    forward, backward = divergences(one, two)
    return F.cross_entropy(one, y) + F.cross_entropy(two, y) + alpha * 0.5 * (forward.sum() + backward.sum())


def vit_code(one: Tensor, two: Tensor, y: Tensor, alpha: float) -> Tensor:
    """Sum of two mean cross-entropies; both KLs, not halved, summed over the micro-batch."""
    forward, backward = divergences(one, two)
    return F.cross_entropy(one, y) + F.cross_entropy(two, y) + alpha * (forward.sum() + backward.sum())


LITERAL: dict[str, tuple[Callable[[Tensor, Tensor, Tensor, float], Tensor], ...]] = {
    "paper": (paper, translation_code),
    "readme": (readme,),
    "readme_sum": (readme_sum,),
    "bert_code": (bert_code,),
    "vit_code": (vit_code,),
}


def test_every_entry_has_a_transcription_and_a_line_in_the_docs() -> None:
    assert LITERAL.keys() == PUBLISHED.keys()
    text = (ROOT / "docs" / "normalisation.md").read_text()
    assert [name for name in PUBLISHED if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize(("name", "form"), [(name, form) for name, forms in LITERAL.items() for form in forms])
@pytest.mark.parametrize("batch", [1, 8, 32])
@pytest.mark.parametrize("alpha", [0.3, 1.0, 5.0])
def test_a_published_loss_is_a_multiple_of_this_one(
    name: str, form: Callable[..., Tensor], batch: int, alpha: float
) -> None:
    torch.manual_seed(batch)
    outputs = (2 * torch.randn(2 * batch, 6, dtype=torch.float64)).requires_grad_()
    y = torch.randint(6, (batch,))
    theirs = form(*outputs.chunk(2), y, alpha)
    ours = loss(outputs, y, passes=2, alpha=PUBLISHED[name].alpha(alpha, batch)).total
    torch.testing.assert_close(theirs, PUBLISHED[name].learning_rate * ours)
    gradients = [torch.autograd.grad(total, outputs)[0] for total in (theirs, ours)]
    torch.testing.assert_close(gradients[0], PUBLISHED[name].learning_rate * gradients[1])


def test_the_converted_learning_rate_makes_the_same_sgd_steps() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(8, 5, dtype=torch.float64), torch.randint(3, (8,))
    start = torch.randn(5, 3, dtype=torch.float64)
    ends = []
    for theirs in (True, False):
        weight = start.clone().requires_grad_()
        optimizer = torch.optim.SGD(
            [weight], lr=0.05 * (1.0 if theirs else PUBLISHED["vit_code"].learning_rate), momentum=0.9
        )
        for step in range(4):
            noisy = [x * (1 + 0.1 * step), x * (1 - 0.2 * step)]  # two passes that differ
            one, two = (pass_ @ weight for pass_ in noisy)
            alpha = PUBLISHED["vit_code"].alpha(0.3, 8)
            ours = loss(torch.cat([one, two]), y, passes=2, alpha=alpha).total
            total = vit_code(one, two, y, 0.3) if theirs else ours
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        ends.append(weight.detach())
    torch.testing.assert_close(ends[0], ends[1])
    assert (ends[0] - start).norm() > 0.1


def test_the_figures_in_print() -> None:
    assert PUBLISHED["vit_code"].alpha(0.3, 32) == pytest.approx(9.6)
    assert PUBLISHED["paper"].alpha(5.0, 4096) == 2.5
    assert PUBLISHED["bert_code"].alpha(0.5, 32) == 8.0


def test_splitting_the_batch_changes_the_vit_codes_strength_and_not_this_one() -> None:
    torch.manual_seed(0)
    outputs, y = torch.randn(2, 8, 4, dtype=torch.float64), torch.randint(4, (8,))
    halves = [outputs[:, :4], outputs[:, 4:]], [y[:4], y[4:]]
    whole = vit_code(outputs[0], outputs[1], y, 0.3)
    split = torch.stack([vit_code(o[0], o[1], t, 0.3) for o, t in zip(*halves, strict=True)]).mean()
    assert not torch.isclose(whole, split)
    ours = loss(outputs.flatten(0, 1), y, passes=2, alpha=0.3).total
    parts = [loss(o.flatten(0, 1), t, passes=2, alpha=0.3, items=8).total for o, t in zip(*halves, strict=True)]
    torch.testing.assert_close(parts[0] + parts[1], ours)


def test_two_networks_are_two_passes() -> None:
    torch.manual_seed(0)
    one, two = nn.Linear(6, 4).double(), nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    x, y = torch.randn(7, 6, dtype=torch.float64), torch.randint(4, (7,))
    p, q = one(x).softmax(-1), two(x).softmax(-1)
    entropies = [-(s[torch.arange(7), y]).log().mean() for s in (p, q)]
    divergence = 0.5 * ((p * (p / q).log()).sum(-1) + (q * (q / p).log()).sum(-1)).mean()
    by_hand = 0.5 * (entropies[0] + entropies[1]) + 0.6 * divergence
    parameters = [*one.parameters(), *two.parameters()]
    expected = torch.autograd.grad(by_hand, parameters)

    outputs = Pair(one, two)(x)
    assert torch.equal(outputs, torch.cat([one(x), two(x)]))
    found = loss(outputs, y, passes=2, alpha=0.6)
    torch.testing.assert_close(found.total, by_hand)
    gradients = torch.autograd.grad(found.total, parameters)
    torch.testing.assert_close(gradients, expected)
    apart = torch.autograd.grad(loss(Pair(one, two)(x), y, passes=2).total, parameters)
    assert not any(torch.allclose(g, a) for g, a in zip(gradients, apart, strict=True))  # each network feels the other
