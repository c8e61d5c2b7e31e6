"""Linear layers by oneDNN against torch's own."""

import pytest
import timm
import torch
from torch import nn

from rdrop_exp.models import onednn_linear
from rdrop_exp.models.onednn_linear import Linear, use_onednn

pytestmark = pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="torch without oneDNN")


@pytest.fixture(autouse=True)
def always(monkeypatch):
    monkeypatch.setattr(onednn_linear, "LEAST", 0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 5), (1, 5), (2, 3, 2, 5)])
def test_equals_torch(shape, bias):
    torch.manual_seed(0)
    theirs = nn.Linear(5, 6, bias=bias)
    ours = nn.Linear(5, 6, bias=bias)
    ours.load_state_dict(theirs.state_dict())
    use_onednn(ours)
    assert isinstance(ours, Linear)
    weight, results = torch.randn(*shape[:-1], 6), []
    for layer in (ours, theirs):
        x = torch.arange(float(torch.Size(shape).numel())).view(shape).sin().requires_grad_()
        outputs = layer(x)
        gradients = torch.autograd.grad((outputs * weight).sum(), [x, *layer.parameters()])
        results.append([outputs.detach(), *gradients])
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


def test_inputs_that_are_not_contiguous():
    layer = nn.Linear(5, 6)
    x = torch.randn(4, 5, 3).transpose(1, 2)
    expected = layer(x)
    use_onednn(layer)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)


def test_frozen_weights_get_no_gradient():
    layer = nn.Linear(5, 6)
    use_onednn(layer)
    layer.weight.requires_grad_(False)
    x = torch.randn(4, 5, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is not None
    assert layer.bias.grad.tolist() == [4.0] * 6
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand(4, 5), rtol=1e-5, atol=1e-6)


def test_a_network_keeps_its_state_dict_keys_and_outputs():
    args = {"patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 16, "num_classes": 5}
    network = timm.create_model("vit_tiny_patch16_224", **args).eval()
    keys, inputs = list(network.state_dict()), torch.randn(3, 3, 16, 16)
    expected = network(inputs)
    use_onednn(network)
    assert list(network.state_dict()) == keys
    assert sum(isinstance(m, Linear) for m in network.modules()) == 2 * 4 + 1
    torch.testing.assert_close(network(inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_use_torch(dtype):
    layer = nn.Linear(5, 6).to(dtype)
    x = torch.randn(4, 5, dtype=dtype)
    expected = layer(x)
    use_onednn(layer)
    assert torch.equal(layer(x), expected)


def test_autocast_uses_torch():
    layer = nn.Linear(5, 6)
    use_onednn(layer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.randn(4, 5)).dtype == torch.bfloat16


def test_the_private_operator_is_as_it_was():
    """`_linear_pointwise` is private to torch: where its signature changes, `onednn_linear` has to follow."""
    schema = str(torch.ops.mkldnn._linear_pointwise.default._schema)
    assert schema == (
        "mkldnn::_linear_pointwise(Tensor X, Tensor W, Tensor? B, str attr, Scalar?[] scalars, str? algorithm) ->"
        " Tensor Y"
    )
