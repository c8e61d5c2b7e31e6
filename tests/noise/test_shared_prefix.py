"""A shared prefix changes no outputs or gradients; modules before the first noise see each input once."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from rdrop_exp.config.checks import from_dict
from rdrop_exp.models.build import build_network
from rdrop_exp.noise.shared_prefix import repeat
from rdrop_exp.train.losses import loss
from tests.conftest import SMALL, VIT, merged

CPU = torch.device("cpu")
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any], int, str]] = {
    "vit, dropout": (VIT, {"dropout": 0.2}, 8, "pos_drop"),
    "vit, stochastic depth": (VIT, {"drop_path": 0.2}, 8, "blocks.1"),
    "vit, dropout in blocks": (VIT, {"dropout": 0.2, "sites": "mlp"}, 8, "blocks.0"),
    "vit, attention and head": (VIT, {"dropout": 0.2, "sites": "attention+head"}, 8, "blocks.0"),
    "resnet, head": (SMALL, {"dropout": 0.2}, 8, "noise_head0"),
    "resnet, stochastic depth": (SMALL, {"drop_path": 0.6}, 8, "layer2.0"),
    "vit, patches": (VIT, {"patch_dropout": 0.5}, 8, "patch_drop"),
    "vit, keys and heads": (VIT, {"drop_key": 0.3, "head_dropout": 0.3}, 8, "blocks.0"),
    "resnet, squares": (SMALL, {"drop_block": 0.3, "block_size": 1}, 32, "layer3.0.noise_block"),
    "swin": (
        {
            "model": {
                "name": "swin_tiny_patch4_window7_224",
                "args": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2]},
            }
        },
        {"dropout": 0.2},
        64,
        "noise_patch_embed0",
    ),
}


def test_repeat_puts_the_passes_one_after_another() -> None:
    x = torch.arange(6.0).view(3, 2)
    assert torch.equal(repeat(x, 2), torch.cat([x, x]))
    assert torch.equal(repeat({"ids": x}, 3)["ids"], torch.cat([x, x, x]))


def build(values: dict[str, Any], regularizer: dict[str, Any], size: int, shared: bool) -> tuple[nn.Module, Any]:
    o = from_dict(merged(values, {"regularizer": regularizer | {"alpha": 1.0}, "share_passes": shared}))
    torch.manual_seed(0)
    network, noise = build_network(o, classes=10, channels=1, image_size=size, device=CPU)
    with torch.no_grad():
        for parameter in network.parameters():  # timm starts a residual branch's last scale at zero
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network, noise


def same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make noise a function of its input's shape alone, so that two networks draw the same."""

    def drop(x: torch.Tensor, rate: torch.Tensor, per_row: bool = False) -> torch.Tensor:
        shape = [len(x)] + [1] * (x.ndim - 1) if per_row else x.shape
        draws = torch.rand(shape, generator=torch.Generator().manual_seed(x.numel()))
        return x * (draws >= rate) / (1 - rate)

    monkeypatch.setattr("rdrop_exp.noise.layers.drop", drop)


@pytest.mark.parametrize("name", MODELS)
def test_a_shared_prefix_gives_the_same_outputs_and_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values, regularizer, size, place = MODELS[name]
    inputs = torch.randn(6, 1, size, size, generator=torch.Generator().manual_seed(1))
    same_draws(monkeypatch)
    results = []
    for shared in (True, False):
        network, noise = build(values, regularizer, size, shared)
        where = [n for n, m in network.named_modules() if noise.shared_prefix._hook in m._forward_pre_hooks.values()]
        assert where == [place if shared else ""]
        network.train()
        noise.set_rates(1.0, 2)
        torch.manual_seed(2)
        outputs = network(inputs)
        assert outputs.shape == (12, 10)
        loss(outputs, torch.arange(6), passes=2, alpha=1.0).total.backward()
        results.append([outputs, *(p.grad for p in network.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert not torch.equal(results[0][0][:6], results[0][0][6:])


def test_modules_before_the_first_noise_see_each_input_once() -> None:
    network, noise = build(VIT, {"drop_path": 0.2}, 8, True)
    rows: dict[str, int] = {}
    for name, module in network.named_modules():
        if name in ("patch_embed", "blocks.0", "blocks.1", "head"):
            module.register_forward_hook(lambda m, i, out, name=name: rows.__setitem__(name, len(out)))
    network.train()
    noise.set_rates(1.0, 3)
    network(torch.randn(4, 1, 8, 8))
    assert rows == {"patch_embed": 4, "blocks.0": 4, "blocks.1": 12, "head": 12}
    noise.set_rates(0.0)
    assert network(torch.randn(4, 1, 8, 8)).shape == (4, 10)


def test_a_copy_of_the_network_repeats_nothing() -> None:
    """The moving average of the weights is a copy, and sees each input once."""
    network, noise = build(VIT, {"dropout": 0.2}, 8, True)
    other = copy.deepcopy(network)
    noise.set_rates(1.0, 2)
    assert other(torch.randn(4, 1, 8, 8)).shape == (4, 10)
