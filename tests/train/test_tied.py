"""What passes are tied to: a teacher, each other with fixed targets, or nothing; against loops written by hand."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import rdrop_exp
from rdrop_exp.analysis.gradient_meter import GradientMeter, MeterSettings
from rdrop_exp.config.checks import from_dict
from rdrop_exp.data.load import load_data
from rdrop_exp.seeds import derive_seed
from rdrop_exp.train import trial
from rdrop_exp.train.losses import consistency, loss
from rdrop_exp.train.setup import initial_network, set_up
from rdrop_exp.train.step import seed_noise
from tests.conftest import SMALL, VIT, Crash, crash_at_save, folder_of, merged
from tests.train.test_loop import rows

CPU = torch.device("cpu")
STEPS = 4
SHORT: dict[str, Any] = {"schedule": {"steps": STEPS}, "logger": {"every": 1}, "optimizer": {"batch_size": 32}}
TEACHER: dict[str, Any] = {
    "regularizer": {"dropout": 0.3, "alpha": 2.0, "tie": "teacher", "passes": 1},
    "optimizer": {"ema": 0.7},
}


def soft(logits: Tensor) -> Tensor:
    return torch.stack([x.softmax(0) for x in logits])


def mean_kl(one: Tensor, two: Tensor) -> Tensor:
    """½ [KL(p‖q) + KL(q‖p)], mean over items."""
    p, q = soft(one), soft(two)
    return 0.5 * ((p * (p / q).log()).sum(1) + (q * (q / p).log()).sum(1)).mean()


def mean_square(one: Tensor, two: Tensor) -> Tensor:
    """Of probabilities, mean over items and classes."""
    return ((soft(one) - soft(two)) ** 2).mean()


@pytest.mark.parametrize(("divergence", "passes"), [("kl", 1), ("kl", 2), ("brier", 1)])
def test_a_teacher_equals_a_loop_written_by_hand(tmp_path: Path, divergence: str, passes: int) -> None:
    """Mean Teacher: the student's loss is CE + α D(student, clean pass of the averaged weights), then both move."""
    values = merged(VIT, SHORT, TEACHER, {"regularizer": {"divergence": divergence, "passes": passes}})
    o = from_dict(merged(values, {"output_dir": str(tmp_path), "share_passes": False}))
    trial.run(o)
    found = [(row["train/loss"], row["train/consistency"]) for row in rows(folder_of(o))]

    data = load_data(o.dataset, batch_size=32, seed=0, device=CPU)
    network, noise = initial_network(o, data.spec, CPU)
    averaged = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=0.0)
    distance = {"kl": mean_kl, "brier": mean_square}[divergence]
    expected = []
    decayed = {p for name, p in network.named_parameters() if p.ndim > 1 and name not in ("pos_embed", "cls_token")}
    optimizer.param_groups.clear()
    for weight_decay, chosen in ((0.05, True), (0.0, False)):
        part = [p for p in network.parameters() if (p in decayed) == chosen]
        optimizer.add_param_group({"params": part, "weight_decay": weight_decay})
    batches = data.train(0)
    for step in range(STEPS):
        batch = next(batches)
        seed_noise(CPU, derive_seed(0, "step", step))
        noise.set_rates(1.0, passes)
        network.train()
        students = network(batch.inputs).chunk(passes)
        with torch.no_grad():
            teacher = averaged(batch.inputs)
        entropy = torch.stack([F.cross_entropy(x, batch.targets) for x in students]).mean()
        apart = torch.stack([distance(x, teacher) for x in students]).mean()
        total = entropy + 2.0 * apart
        expected.append((total.item(), apart.item()))
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * 0.5 * (1 + float(torch.cos(torch.tensor(step / STEPS * torch.pi))))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        with torch.no_grad():
            for old, new in zip(averaged.parameters(), network.parameters(), strict=True):
                old.copy_(0.7 * old + 0.3 * new)
    assert [each[0] for each in found] == pytest.approx([each[0] for each in expected], rel=1e-4)
    assert [each[1] for each in found] == pytest.approx([each[1] for each in expected], rel=1e-3)
    assert all(apart > 1e-5 for _, apart in expected)


def test_no_gradient_reaches_the_teacher_and_padding_counts_for_nothing() -> None:
    torch.manual_seed(0)
    outputs, teacher = torch.randn(2 * 4, 3, 5, dtype=torch.float64), torch.randn(4, 3, 5, dtype=torch.float64)
    targets, mask = torch.randint(5, (4, 3)), torch.rand(4, 3) > 0.4
    kept = [outputs.view(2, 4, 3, 5)[:, mask], teacher[mask], targets[mask]]
    by_hand = 0.5 * sum(F.cross_entropy(x, kept[2]) + 0.8 * mean_kl(x, kept[1]) for x in kept[0])
    outputs.view(2, 4, 3, 5)[:, ~mask], teacher[~mask] = float("nan"), float("inf")
    outputs.requires_grad_()
    found = loss(outputs, targets, passes=2, alpha=0.8, mask=mask, teacher=teacher).total
    torch.testing.assert_close(found, by_hand)
    found.backward()
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()


def test_a_teacher_in_a_loop_of_ones_own() -> None:
    logits, targets, teacher = torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), torch.randn(4, 3)
    found = rdrop_exp.rdrop_loss(logits, targets, alpha=0.5, teacher=teacher)
    torch.testing.assert_close(found, F.cross_entropy(logits, targets) + 0.5 * mean_kl(logits, teacher))


def test_a_trial_with_a_teacher_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = merged(SMALL, SHORT, TEACHER, {"checkpoint_seconds": 0.0})
    whole = trial.run(from_dict(merged(values, {"output_dir": str(tmp_path / "a")})))
    o = from_dict(merged(values, {"output_dir": str(tmp_path / "b")}))
    with monkeypatch.context() as patch:
        crash_at_save(patch, 2)
        with pytest.raises(Crash):
            trial.run(o)
    resumed = trial.run(o)
    assert whole is not None
    assert resumed is not None
    assert whole["metrics"] == resumed["metrics"]


def test_analysis_measures_the_task_loss_where_the_teacher_is_not_kept() -> None:
    setup = set_up(from_dict(merged(VIT, SHORT, TEACHER)))
    reading = GradientMeter(setup, MeterSettings(batches=2)).read(0)
    assert not reading.consistency
    assert reading.gradient.norm.value > 0


# -- fixed targets: cosub ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.3])
@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_cosub_is_a_consistency_with_fixed_targets(form: str, share: float) -> None:
    """Its loss, (1 − λ) labels + λ the other's prediction as target, has (1 − λ) times this one's gradient."""
    torch.manual_seed(1)
    outputs = (2 * torch.randn(2 * 6, 5, dtype=torch.float64)).requires_grad_()
    classes = torch.randint(5, (6,))
    one, two = outputs.chunk(2)
    if form == "softmax":  # the paper's; the targets' entropy has no gradient

        def entropy(logits: Tensor, target: Tensor) -> Tensor:
            return -(target * logits.log_softmax(-1)).sum(-1).mean()

        labels, targets = F.one_hot(classes, 5).double(), classes
        taught = entropy(one, two.softmax(-1).detach()) + entropy(two, one.softmax(-1).detach())
        kinds = {"task": "cross_entropy", "divergence": "kl"}
    else:  # its code's

        def entropy(logits: Tensor, target: Tensor) -> Tensor:
            return F.binary_cross_entropy_with_logits(logits, target)

        targets = labels = (torch.rand(6, 5) > 0.5).double()
        taught = entropy(one, two.detach().sigmoid()) + entropy(two, one.detach().sigmoid())
        kinds = {"task": "binary_cross_entropy", "divergence": "bernoulli"}
    theirs = 0.5 * (1 - share) * (entropy(one, labels) + entropy(two, labels)) + 0.5 * share * taught
    alpha = share / (1 - share)
    ours = loss(outputs, targets, passes=2, alpha=alpha, stop_gradient=True, **kinds).total  # type: ignore[arg-type]
    gradients = [torch.autograd.grad(total, outputs)[0] for total in (theirs, ours)]
    torch.testing.assert_close(gradients[0], (1 - share) * gradients[1])


@pytest.mark.parametrize("fixed", [False, True])
def test_brier_is_the_squared_difference_of_probabilities(fixed: bool) -> None:
    torch.manual_seed(2)
    outputs = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    found = consistency(outputs, "brier", fixed)
    torch.testing.assert_close(found.mean(), mean_square(*outputs))
    p, q = outputs.softmax(-1)
    moved = 0.5 * ((p.detach() - q) ** 2 + (p - q.detach()) ** 2) if fixed else (p - q) ** 2
    gradients = [torch.autograd.grad(x.sum(), outputs)[0] for x in (found, moved.mean(-1))]
    torch.testing.assert_close(*gradients)


# -- nothing: multi-sample dropout ------------------------------------------------------------------------------------


def test_several_masks_at_the_head_share_one_pass_of_the_rest() -> None:
    """The mean loss of m masks of the features, written out, on one forward of the backbone."""
    r = {"dropout": 0.5, "sites": "head", "multi_sample": True, "passes": 3}
    o = from_dict(merged(VIT, {"regularizer": r}))
    data = load_data(o.dataset, batch_size=16, seed=0, device=CPU)
    batch = next(data.train(0))
    network, noise = initial_network(o, data.spec, CPU)
    seen: list[int] = []
    network.blocks.register_forward_hook(lambda m, a, out: seen.append(len(out)))  # type: ignore[union-attr, operator]
    inputs: list[Tensor] = []
    network.head.register_forward_pre_hook(lambda m, a: inputs.append(a[0]))  # type: ignore[union-attr, operator]
    network.train()
    noise.set_rates(1.0, 3)
    seed_noise(CPU, 0)
    found = loss(network(batch.inputs), batch.targets, passes=3)
    assert seen == [16]
    noise.set_rates(0.0)
    with torch.no_grad():
        features = network.eval().forward_head(network.forward_features(batch.inputs), pre_logits=True)  # type: ignore[operator]
    slow = torch.zeros(())
    for masked in inputs[0].chunk(3):
        kept = masked != 0
        torch.testing.assert_close(masked, 2 * features * kept)
        assert 0.3 < kept.float().mean() < 0.7
        slow = slow + F.cross_entropy(network.head(2 * features * kept), batch.targets) / 3  # type: ignore[operator]
    torch.testing.assert_close(found.total, slow)
    assert found.consistency == 0
    assert not torch.equal(*inputs[0].chunk(3)[:2])
