"""Stochastic depth on kept samples only: the same numbers as a mask, exact rates, and only where it is safe."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.models.build import build_network
from rdrop_exp.noise import sample_drop
from rdrop_exp.noise.branch_inputs import find_branch_inputs
from rdrop_exp.noise.install import install_noise
from rdrop_exp.noise.layers import DropPath
from rdrop_exp.noise.sample_drop import KeptSamples, draw_kept, gather, scatter
from rdrop_exp.noise.sites import noise_sites
from tests.noise import architectures

CPU = torch.device("cpu")
ARGS = {  # small models of block families whose branches begin differently
    "vit_tiny_patch16_224": {"patch_size": 4, "embed_dim": 48, "depth": 3, "num_heads": 3},
    "convnext_atto": {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32]},  # new layer scales of 1e-6
    "mixer_s32_224": {},  # one DropPath for two branches
    "swin_tiny_patch4_window7_224": {"embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4},
    "cait_xxs24_224": {},
}


def build(name, skip=True, rate=0.5, **regularizer):
    o = from_dict(
        {
            "model": {"name": name, "args": ARGS.get(name, {})},
            "regularizer": {"drop_path": rate, "profile": "constant", **regularizer},
            "skip_dropped": skip,
        }
    )
    torch.manual_seed(0)
    network, noise = build_network(o, classes=5, channels=3, image_size=32, device=CPU)
    network.train()
    noise.set_rates(1.0)
    return network, noise


def branch_input_hooks(network):
    hooks = [h for m in network.modules() for h in m._forward_pre_hooks.values()]
    return [h for h in hooks if isinstance(getattr(h, "__self__", None), DropPath)]


def gradients(network, inputs, weight):
    network.zero_grad()
    torch.manual_seed(7)
    outputs = network(inputs)
    (outputs * weight).sum().backward()
    return outputs.detach(), {
        k: torch.zeros_like(p) if p.grad is None else p.grad for k, p in network.named_parameters()
    }


@pytest.mark.parametrize("name", ARGS)
def test_same_masks_give_the_same_outputs_and_gradients(name):
    inputs, weight = torch.randn(12, 3, 32, 32), torch.randn(12, 5)
    ways = [build(name, skip) for skip in (True, False)]
    assert all(branch_input_hooks(network) for network, _ in ways)
    (outputs, ours), (expected, theirs) = (gradients(network, inputs, weight) for network, _ in ways)
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)
    size = max(g.abs().max() for g in theirs.values())
    assert ours.keys() == theirs.keys()
    for key, gradient in theirs.items():
        torch.testing.assert_close(ours[key], gradient, rtol=1e-3, atol=1e-5 * float(size), msg=key)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case[1]) for case in (*architectures.FAST, *architectures.SLOW)]
)
def test_same_masks_give_the_same_outputs_in_every_family(case):
    if not any(site.name == "branch" for site in noise_sites(architectures.build(case))):
        pytest.skip("no residual branches")
    outputs = []
    for skip in (True, False):
        torch.manual_seed(0)
        network = architectures.build(case)
        noise = install_noise(network, Regularizer(drop_path=0.5, profile="constant"))
        paths = [m for m in network.modules() if isinstance(m, DropPath)]
        find_branch_inputs(network, paths, torch.randn(3, 3, case[2], case[2]), skip)
        noise.set_rates(1.0)
        torch.manual_seed(1)
        outputs.append(network.train()(torch.randn(6, 3, case[2], case[2])))
    torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-4 * float(outputs[0].detach().abs().max()))


def test_dropped_samples_do_not_reach_the_branch():
    network, _ = build("vit_tiny_patch16_224")
    seen = []
    network.blocks[1].mlp.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    torch.manual_seed(0)
    for _ in range(20):
        network(torch.randn(64, 3, 32, 32))
    assert 64 * 20 * 0.45 < sum(seen) < 64 * 20 * 0.55
    assert len(set(seen)) > 5, "the number of kept samples is not fixed"


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "mixer_s32_224"])
def test_every_branch_input_is_located(name):
    network, _ = build(name)
    assert len(branch_input_hooks(network)) == 2 * len(network.blocks)


def test_batch_norm_sees_whole_batches():
    network, _ = build("resnet10t")
    assert not branch_input_hooks(network)
    statistics = []
    network.layer1[0].bn1.register_forward_pre_hook(lambda _, inputs: statistics.append(len(inputs[0])))
    network(torch.randn(8, 3, 32, 32))
    assert statistics == [8]


def test_a_branch_that_mixes_samples_is_masked():
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.drop_path = nn.Linear(4, 4), DropPath(0.5)

        def forward(self, x):
            y = self.norm(x)
            return x + self.drop_path(y - y.mean(0))

    network = Mixing()
    locate(network)
    assert not branch_input_hooks(network)


def test_a_module_shared_by_two_branches_is_not_a_branch_input():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.first, self.second = nn.LayerNorm(4), nn.Linear(4, 4), nn.Linear(4, 4)
            self.drop_path1, self.drop_path2 = DropPath(0.5), DropPath(0.5)

        def forward(self, x):
            x = x + self.drop_path1(self.first(self.norm(x)))
            return x + self.drop_path2(self.second(self.norm(x)))

    network = Shared()
    locate(network)
    assert not network.norm._forward_pre_hooks
    assert len(branch_input_hooks(network)) == 2


def locate(network):
    find_branch_inputs(network, [m for m in network.modules() if isinstance(m, DropPath)], torch.randn(3, 4))


def test_without_active_noise_all_samples_are_computed():
    network, noise = build("vit_tiny_patch16_224")
    inputs = torch.randn(6, 3, 32, 32)
    noise.set_rates(0.0)
    without_noise = network(inputs)
    noise.set_rates(1.0)
    torch.testing.assert_close(network.eval()(inputs), without_noise)


def test_rates_that_differ_between_passes_use_a_mask():
    network, _ = build("vit_tiny_patch16_224", alpha=1.0, dropout=0.1, second_dropout=0.2)
    assert not branch_input_hooks(network)


@given(rows=st.integers(1, 40), rate=st.floats(0, 0.99), seed=st.integers(0, 99), skip=st.booleans())
def test_gather_and_scatter_equal_a_mask(rows, rate, seed, skip):
    x = torch.arange(1.0, rows + 1)[:, None].repeat(1, 3)
    torch.manual_seed(seed)
    kept = draw_kept(rows, rate, CPU, skip)
    torch.manual_seed(seed)
    mask = (torch.rand(rows) >= rate)[:, None] / (1 - rate)
    torch.testing.assert_close(scatter(gather(x, kept), kept), x * mask)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("shape", [(64, 7), (64, 3, 2, 2)])
def test_low_precision_rounds_results_only(shape, skip):
    x = (
        torch.randn(shape)
        .to(torch.bfloat16)
        .contiguous(memory_format=torch.channels_last if len(shape) == 4 else torch.contiguous_format)
    )
    kept = draw_kept(64, 0.1, CPU, skip)
    result = scatter(gather(x, kept), kept)
    expected = (x.float() / 0.9).to(torch.bfloat16)
    dropped = (result == 0).flatten(1).all(1)
    assert result.dtype == torch.bfloat16
    assert torch.equal(result[~dropped], expected[~dropped])
    assert 0 < dropped.sum() < 20


def test_few_dropped_samples_are_masked(monkeypatch):
    monkeypatch.setattr(sample_drop, "LEAST", 0.5)
    torch.manual_seed(0)
    assert draw_kept(100, 0.3, CPU).index is None
    assert draw_kept(100, 0.7, CPU).index is not None


def test_no_sample_kept():
    kept = draw_kept(4, 0.999999, CPU)
    assert kept.index is not None
    assert kept.index.tolist() == [0]
    x = torch.ones(4, 2, requires_grad=True)
    scatter(gather(x, kept), kept).sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


def test_gradient_of_gather_and_scatter():
    kept = KeptSamples(torch.tensor([0, 2]), 4, 2.0)
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: scatter(gather(x, kept).sin(), kept), x)


def test_a_compiled_network_stays_one_graph():
    network, noise = build("vit_tiny_patch16_224")
    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(network, backend=counting, fullgraph=True)
    for step in range(3):
        noise.set_rates(1 - step / 10)
        compiled(torch.randn(2, 3, 32, 32))
    assert len(graphs) == 1
