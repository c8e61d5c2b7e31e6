"""Structured noise in whole models: off where it should be, refused, compiled, by the API; dropout over blocks."""

import math

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import rdrop_exp
from rdrop_exp.config.schema import OptionError
from rdrop_exp.noise.install import dropout_shares
from tests.noise.test_structured import MODELS, noisy

RATES = [
    ("vit", {"patch_dropout": 0.5}), ("vit", {"drop_key": 0.3}), ("vit", {"head_dropout": 0.3}),
    ("eva", {"patch_dropout": 0.5, "drop_path": 0.3, "drop_key": 0.2, "head_dropout": 0.2}),
    ("resnet", {"drop_block": 0.2, "block_size": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "r"), RATES)
def test_it_is_off_in_evaluation_and_at_rate_0_and_shows_as_a_rate(name: str, r: dict[str, float]) -> None:
    model, noise, x = noisy(name, **r)
    plain = noisy(name)[0]
    with torch.no_grad():
        assert noise.rates(0.5) == pytest.approx({f"rate/{k}": v / 2 for k, v in r.items() if k != "block_size"})
        assert not torch.allclose(model(x), model(x))
        noise.set_rates(0.0)
        plain.load_state_dict(model.state_dict())
        assert torch.equal(model(x), plain(x))
        noise.set_rates(1.0)
        assert torch.equal(model.eval()(x), plain.eval()(x))


@pytest.mark.parametrize(
    ("name", "option", "parts"),
    [
        ("resnet", "patch_dropout", ["ResNet", "patch tokens", "drop_block"]),
        ("resnet", "drop_key", ["ResNet", "attention", "drop_block"]),
        ("resnet", "head_dropout", ["ResNet", "heads", "drop_path"]),
        ("vit", "drop_block", ["VisionTransformer", "convolutions", "patch_dropout, drop_key, head_dropout"]),
    ],
)
def test_a_rate_without_a_place_is_refused(name: str, option: str, parts: list[str]) -> None:
    with pytest.raises(OptionError) as error:
        noisy(name, **{option: 0.25})
    for part in (f"regularizer.{option}=0.25", *parts):
        assert part in str(error.value)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_rates_that_move_compile_once(name: str) -> None:
    r = {"drop_key": 0.3, "head_dropout": 0.3} if name == "vit" else {"drop_block": 0.3}
    model, noise, x = noisy(name, **r)
    graphs = []

    def counting(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> object:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(model, backend=counting, fullgraph=True)
    for step in range(10):  # past torch's limit of 8 recompilations
        noise.set_rates(1 - step / 10)
        compiled(x)
    assert len(graphs) == 1


def test_steady_patch_dropout_compiles() -> None:
    model, noise, x = noisy("vit", patch_dropout=0.5)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert compiled(x).shape == (4, 5)
    noise.set_rates(0.0)
    torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)


def test_the_api_takes_and_removes_it() -> None:
    name, args, size = MODELS["eva"]
    model, x = timm.create_model(name, **args), torch.randn(3, 3, size, size)
    before = model.eval()(x)
    noise = rdrop_exp.install_noise(model, dropout=0.0, patch_dropout=0.5, drop_key=0.2, head_dropout=0.2, example=x)
    assert noise.rates == pytest.approx({"patch_dropout": 0.5, "drop_key": 0.2, "head_dropout": 0.2})
    assert model.train()(noise.repeat(x)).shape == (6, 5)
    noise.remove()
    assert model.patch_drop is None
    assert torch.equal(model.eval()(x), before)
    with pytest.raises(OptionError, match=r"^drop_block=0.1: this Eva has no"):
        rdrop_exp.install_noise(model, dropout=0.0, drop_block=0.1)


# -- dropout over blocks ----------------------------------------------------------------------------------------------


@given(st.sampled_from(["constant", "linear", "reversed", "front_loaded"]), st.integers(1, 40))
def test_every_profile_has_the_same_mean(profile: str, count: int) -> None:
    shares = list(dropout_shares(profile, [f"blocks.{i}" for i in range(count) for _ in range(2)]).values())
    assert len(shares) == count
    assert math.fsum(shares) == pytest.approx(count)
    assert 0 <= min(shares) <= max(shares) <= 2
    if profile in ("reversed", "front_loaded"):
        assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(
    ("profile", "rates"),
    [("linear", [0.0, 0.1, 0.2]), ("reversed", [0.2, 0.1, 0.0]), ("front_loaded", [0.2, 0.1, 0.0])],
)
def test_rates_over_blocks(profile: str, rates: list[float]) -> None:
    model, _, _ = noisy("vit", dropout=0.1, sites="embed+attention+mlp", dropout_profile=profile)
    assert [block.mlp.drop2.highest for block in model.blocks] == pytest.approx(rates)
    assert [block.attn.attn_drop.highest for block in model.blocks] == pytest.approx(rates)
    assert model.pos_drop.highest == 0.1
    model, _, _ = noisy("vit", dropout=0.1, second_dropout=0.2, passes=2, sites="residual", dropout_profile=profile)
    assert [block.drop_path1.full[1].item() for block in model.blocks] == pytest.approx([2 * rate for rate in rates])
