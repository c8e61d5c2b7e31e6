"""Noise and loss in a loop of one's own: what a trial does, for any model, by (seed, step) alone."""

import copy
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import rdrop_exp
from rdrop_exp.config.checks import from_dict
from rdrop_exp.noise.layers import NoiseLayer
from rdrop_exp.seeds import derive_seed
from rdrop_exp.train.loop import train_step
from rdrop_exp.train.setup import set_up
from rdrop_exp.train.state import State
from rdrop_exp.train.step import seed_noise, step_plan
from tests.conftest import VIT, merged
from tests.noise.test_sites import perturb_weights


def plain() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 5))


MODELS = {
    "plain": plain,
    "timm": lambda: timm.create_model("resnet18", layers=(1, 1, 1, 1), channels=(8, 8, 16, 16), num_classes=5),
    "resnet": lambda: torchvision.models.resnet18(num_classes=5),
    "mobilenet": lambda: torchvision.models.mobilenet_v3_small(num_classes=5),
    "vit": lambda: torchvision.models.VisionTransformer(8, 4, 1, 2, 16, 32, num_classes=5),
}


@pytest.mark.parametrize("drop_path", [0.0, 0.3])
def test_a_loop_of_ones_own_is_the_trials_loop(drop_path: float) -> None:
    """Same noise, same loss, same weights, bit for bit, over the end of early noise."""
    noisy = {"dropout": 0.2, "drop_path": drop_path, "alpha": 0.5, "when": "early", "cutoff_share": 0.5}
    o = from_dict(merged(VIT, {"regularizer": noisy, "schedule": {"steps": 4, "shape": "constant"}, "seed": 3}))
    o.fast_linear = False
    setup, own = set_up(o), set_up(o)
    bare = timm.create_model(o.model.name, num_classes=10, in_chans=1, img_size=8, **o.model.args)
    bare.load_state_dict(own.network.state_dict())
    noise = rdrop_exp.install_noise(
        bare, dropout=0.2, drop_path=drop_path, when="early", cutoff=2, total=4, seed=3, example=torch.randn(3, 1, 8, 8)
    )
    state, mine = State.initial(o, setup.network, setup.device, 4), State.initial(o, bare, setup.device, 4)
    batches, own_batches = setup.data.train(0), own.data.train(0)
    for step in range(4):
        plan = step_plan(o, setup.noise, step, setup.data.steps_per_epoch, 4)
        seed_noise(setup.device, derive_seed(3, "step", step))
        sums, _ = train_step(o, setup.task, state, setup.noise, setup.network, next(batches), plan, 1.0)

        x, y, _ = next(own_batches)
        noise.step(step)
        assert noise.passes == plan.num_passes
        loss = rdrop_exp.rdrop_loss(bare(noise.repeat(x)), y, alpha=0.5, passes=noise.passes)
        loss.backward()
        mine.optimizer.step()
        mine.optimizer.zero_grad()
        assert loss.item() == sums[0].item()
    assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), setup.network.parameters(), strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_noise_in_any_model(name: str) -> None:
    torch.manual_seed(0)
    model, x = MODELS[name](), torch.randn(4, 3, 8, 8)
    perturb_weights(model)
    before, expected = [type(m) for m in model.modules()], model.eval()(x)
    noise = rdrop_exp.install_noise(model, dropout=0.5, drop_path=0.0 if name == "plain" else 0.5, seed=1)

    def drawn(step: int) -> Tensor:
        twin = copy.deepcopy(model).train()  # BatchNorm's statistics move
        (enter,) = [h for h in twin._forward_pre_hooks.values() if h.__name__ == "_enter"]
        enter.__self__.step(step)
        return twin(x.repeat(2, 1, 1, 1)).detach()

    outside = torch.get_rng_state()
    first = drawn(0)
    assert torch.equal(first, drawn(0))
    assert not torch.equal(first, drawn(1))
    assert not torch.equal(first[:4], first[4:])
    assert torch.equal(torch.get_rng_state(), outside)
    assert torch.equal(model.eval()(x), expected)
    noise.remove()
    assert [type(m) for m in model.modules()] == before
    assert torch.equal(model(x), expected)
    assert not any(isinstance(m, NoiseLayer) for m in model.modules())


def test_a_model_in_eval_mode_makes_one_pass() -> None:
    model = plain()
    noise = rdrop_exp.install_noise(model, example=torch.randn(3, 3, 8, 8))
    x = torch.randn(4, 3, 8, 8)
    assert len(model.train()(noise.repeat(x))) == 8
    assert len(model.eval()(x)) == 4


def test_micro_batches_of_a_step_draw_on() -> None:
    model, x = plain(), torch.randn(4, 3, 8, 8)
    noise = rdrop_exp.install_noise(model, dropout=0.5)
    noise.step(5)
    assert not torch.equal(model(x), model(x))


def test_patterns_say_where() -> None:
    model = plain()
    noise = rdrop_exp.install_noise(model, sites={"mlp": ["2"]}, dropout=0.5)
    assert noise.rates == {"dropout": 0.5}
    assert [isinstance(m, NoiseLayer) for m in model.children()] == [False, False, True, False, False]


def test_tokens_of_target_minus_100_do_not_count() -> None:
    logits, targets = torch.randn(4, 3, 7), torch.tensor([[1, 2, -100], [3, -100, -100]])
    kept = (targets != -100).repeat(2, 1)
    expected = rdrop_exp.rdrop_loss(logits[kept], targets[targets != -100], alpha=0.5)
    torch.testing.assert_close(rdrop_exp.rdrop_loss(logits, targets, alpha=0.5), expected)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dropout": 1.5}, "dropout=1.5"),
        ({"when": "erly"}, "early"),
        ({"when": "early"}, "cutoff"),
        ({"when": "decreasing"}, "total"),
        ({"sites": "hed"}, "head"),
        ({"sites": {"mlp": ["nope"]}}, "nope"),
        ({"sites": {"mlpp": ["2"]}}, "mlp"),
        ({"drop_path": 0.1}, "drop_path=0.1"),
        ({"passes": 0}, "passes=0"),
    ],
)
def test_errors_are_one_sentence(options: dict[str, Any], says: str) -> None:
    model = plain()
    with pytest.raises(ValueError, match=says) as error:
        rdrop_exp.install_noise(model, **options)
    assert "\n" not in str(error.value)
    assert "regularizer." not in str(error.value)


def test_noise_twice_and_rows_that_do_not_fit_are_refused() -> None:
    model = plain()
    rdrop_exp.install_noise(model)
    with pytest.raises(ValueError, match="remove"):
        rdrop_exp.install_noise(model)
    with pytest.raises(ValueError, match="5 rows"):
        rdrop_exp.rdrop_loss(torch.zeros(5, 2), torch.zeros(2, dtype=torch.int64), alpha=1.0)
