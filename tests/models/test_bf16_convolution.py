"""Convolutions under bf16 on a CPU."""

import torch

from rdrop_exp.config.checks import from_dict
from rdrop_exp.models.bf16_convolution import DepthwiseConv2d
from rdrop_exp.models.build import build_network

ARGS = {"patch_size": 2, "depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}


def network(precision: str) -> torch.nn.Module:
    torch.manual_seed(0)
    options = from_dict({"model": {"name": "convnext_atto", "args": ARGS}, "precision": precision})
    return build_network(options, classes=3, channels=1, image_size=32, device=torch.device("cpu"))[0]


def test_bf16_changes_neither_weights_nor_float32_outputs() -> None:
    usual, low = network("fp32"), network("bf16")
    assert list(low.state_dict()) == list(usual.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(low.parameters(), usual.parameters(), strict=True))
    x = torch.randn(4, 1, 32, 32)
    torch.testing.assert_close(low(x), usual(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(low(x).float(), usual(x).float(), rtol=0.05, atol=0.05)


def test_depthwise_convolutions_alone_are_float32_under_bf16() -> None:
    low, usual = network("bf16"), network("fp32")
    layers = [m for m in low.modules() if isinstance(m, DepthwiseConv2d)]
    assert len(layers) == 4
    assert not any(isinstance(m, DepthwiseConv2d) for m in usual.modules())
    types = set()
    for layer in layers:
        layer.register_forward_hook(lambda m, a, y: types.add(y.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert low(torch.randn(2, 1, 32, 32)).dtype == torch.bfloat16
    assert types == {torch.float32}
