"""What only a GPU can show. `pytest -m gpu` runs it there; TEST_DEVICE=cpu tries the tests themselves."""

import os

import pytest
import torch

from rdrop_exp.config.checks import from_dict
from rdrop_exp.models.build import build_network
from rdrop_exp.noise.layers import drop
from rdrop_exp.train import losses, trial
from rdrop_exp.train.losses import consistency
from tests.conftest import VIT, merged

DEVICE = torch.device(os.environ.get("TEST_DEVICE", "cuda"))
pytestmark = pytest.mark.gpu


def network(skip: bool, **regularizer):
    o = from_dict(merged(VIT, {"regularizer": regularizer, "skip_dropped": skip}))
    torch.manual_seed(0)
    net, noise = build_network(o, classes=10, channels=1, image_size=8, device=DEVICE)
    noise.set_rates(1.0)
    return net.train(), noise


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rates_of_dropout(dtype):
    x = torch.ones(2, 500_000, device=DEVICE, dtype=dtype)
    kept = (drop(x, torch.tensor([0.1, 0.5], device=DEVICE)) > 0).double().mean(1).tolist()
    assert kept == pytest.approx([0.9, 0.5], abs=0.004)


def test_kept_samples_give_what_a_mask_gives():
    inputs = torch.randn(16, 1, 8, 8, device=DEVICE)
    found = []
    for skip in (True, False):
        net, _ = network(skip, drop_path=0.5, profile="constant")
        torch.manual_seed(1)
        outputs = net(inputs)
        outputs.square().sum().backward()
        found.append([outputs, *(p.grad for p in net.parameters())])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(DEVICE.type != "cuda", reason="a CPU has nothing to wait for")
def test_a_step_waits_for_nothing():
    net, noise = network(True, drop_path=0.5, dropout=0.1, alpha=1.0)
    inputs, targets = torch.randn(16, 1, 8, 8, device=DEVICE), torch.arange(16, device=DEVICE) % 10
    for share in (1.0, 0.5):
        noise.set_rates(share, 2)
        torch.cuda.set_sync_debug_mode("error" if share < 1 else "default")
        try:
            losses.loss(net(inputs), targets, passes=2, alpha=1.0).total.backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_chunks_of_a_vocabulary():
    outputs = torch.randn(2, 300, 32_000, device=DEVICE, requires_grad=True)
    (found,) = torch.autograd.grad(consistency(outputs).sum(), outputs)
    exact = outputs.detach().double().requires_grad_()
    log_p, log_q = exact.log_softmax(-1)
    (expected,) = torch.autograd.grad((0.5 * (log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(), exact)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("regularizer", [{"dropout": 0.1, "alpha": 0.5}, {"drop_path": 0.3, "alpha": 0.5}])
def test_a_trial(tmp_path, regularizer):
    values = {
        "output_dir": str(tmp_path),
        "device": str(DEVICE),
        "regularizer": regularizer,
    }
    result = trial.run(from_dict(merged(VIT, values)))
    assert result is not None
    assert result["metrics"]["train/consistency"] > 0


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_trials_train_as_eager_ones_do(tmp_path, mode, accumulate):
    values = {
        "device": str(DEVICE),
        "regularizer": {"when": "never"},
        "optimizer": {"accumulate": accumulate},
    }
    losses = []
    for on in (False, True):
        switches = {"output_dir": str(tmp_path / str(on)), "compile": on, "compile_mode": mode}
        result = trial.run(from_dict(merged(VIT, values, switches)))
        assert result is not None
        losses.append(result["metrics"]["train/loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
