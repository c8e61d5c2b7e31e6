"""Structured noise against slow versions of itself, in the models that have its place; refused in the others."""

import math
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.noise import fused_attention, structured
from rdrop_exp.noise.install import InstalledNoise, install_noise
from rdrop_exp.noise.structured import DropBlock, DropKey, HeadDropout, PatchDropout
from rdrop_exp.noise.structured_sites import ATTENTIONS
from tests.noise.architectures import FAST, SLOW, Case, build

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": 5, "reg_tokens": 2}
EVA = {"img_size": 56, "depth": 2, "num_classes": 5}
RESNET = {"layers": (1, 1, 2, 1), "channels": (8, 8, 16, 16), "num_classes": 5}
MODELS: dict[str, tuple[str, dict[str, Any], int]] = {
    "vit": ("vit_tiny_patch16_224", VIT, 32),
    "eva": ("eva02_tiny_patch14_224", EVA, 56),
    "resnet": ("resnet18", RESNET, 64),
}


def noisy(name: str, **r: Any) -> tuple[Any, InstalledNoise, Tensor]:
    """A model with its noise at the full rate, in training, and four images."""
    torch.manual_seed(0)
    model_name, args, size = MODELS[name]
    model = timm.create_model(model_name, **args)
    with torch.no_grad():
        for parameter in model.parameters():  # timm starts a residual branch's last scale at zero
            parameter.add_(0.05 * torch.randn_like(parameter))
    noise = install_noise(model, Regularizer(**r))
    noise.set_rates(1.0)
    return model.train(), noise, torch.randn(4, 3, size, size)


def on(layer: Any, scale: float = 1.0) -> Any:
    """A layer on its own, as a schedule sets it."""
    InstalledNoise([layer]).set_rates(scale)
    return layer.train()


# -- patches ----------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 12), st.integers(0, 2), st.floats(0.01, 0.99), st.sampled_from([0.25, 1.0]),
    st.booleans(),
)  # fmt: skip
def test_a_share_of_the_patches_is_kept_and_every_token_before_them(
    rows: int, patches: int, prefix: int, rate: float, scale: float, indices: bool
) -> None:
    x = torch.randn(rows, prefix + patches, 3)
    layer = on(PatchDropout(rate, prefix, indices), scale)
    result = layer(x)
    kept, index = result if indices else (result, None)
    count = max(1, round((1 - rate * scale) * patches))
    assert kept.shape == (rows, prefix + count, 3)
    assert torch.equal(kept[:, :prefix], x[:, :prefix])
    for row in range(rows):
        places = [
            next(i for i, y in enumerate(x[row, prefix:]) if torch.equal(y, token)) for token in kept[row, prefix:]
        ]
        assert len(set(places)) == count
        assert index is None or index[row].tolist() == places
    layer.eval()
    unchanged = layer(x)
    assert torch.equal(unchanged[0] if indices else unchanged, x)


def test_every_patch_is_kept_as_often_as_any_other() -> None:
    layer = on(PatchDropout(0.75, 1, True))
    torch.manual_seed(0)
    index = layer(torch.zeros(4000, 9, 1))[1]
    share = torch.bincount(index.flatten(), minlength=8) / 4000
    assert (share - 0.25).abs().max() < 5 * math.sqrt(0.25 * 0.75 / 4000)


def test_a_vit_computes_the_kept_patches_alone() -> None:
    model, noise, x = noisy("vit", patch_dropout=0.5)
    kept: list[Tensor] = []
    noise.layers[0].register_forward_hook(lambda m, a, y: kept.append(y))
    outputs = model(x)
    assert kept[0].shape == (4, 3 + 8, 32)
    tokens = model._pos_embed(model.patch_embed(x))
    for row, own in enumerate(tokens):
        chosen = [token for token in own if any(torch.equal(token, other) for other in kept[0][row])]
        alone = model.forward_head(model.norm(model.blocks(torch.stack(chosen)[None])))
        torch.testing.assert_close(outputs[row : row + 1], alone, rtol=1e-4, atol=1e-5)


def test_rotary_positions_go_with_the_kept_patches() -> None:
    model, noise, x = noisy("eva", patch_dropout=0.5)
    found: list[Tensor] = []
    noise.layers[0].register_forward_hook(lambda m, a, y: found.append(y[1]))
    outputs = model(x)

    class Given(nn.Module):  # what timm's own module would return for these patches
        def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
            patches = tokens[:, 1:].gather(1, found[0].unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
            return torch.cat([tokens[:, :1], patches], dim=1), found[0]

    model.patch_drop = Given()
    torch.testing.assert_close(outputs, model(x), rtol=1e-4, atol=1e-5)


def test_the_number_of_patches_follows_the_schedule() -> None:
    model, noise, x = noisy("vit", patch_dropout=0.5, drop_path=0.5)
    tokens: list[int] = []
    model.blocks[0].register_forward_pre_hook(lambda m, a: tokens.append(a[0].shape[1]))
    for scale in (1.0, 0.5, 0.1, 0.0):
        noise.set_rates(scale)
        model(x).sum().backward()
    assert tokens == [3 + n for n in (8, 12, 15, 16)]


# -- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vit", "eva"])
@pytest.mark.parametrize("fused", [True, False])
def test_dropped_keys_have_no_weight(name: str, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _, x = noisy(name, drop_key=0.4)
    attention = model.blocks[0].attn
    monkeypatch.setattr(fused_attention, "is_faster", lambda x: fused)
    kept: list[Tensor] = []
    attention.noise_keys.register_forward_hook(lambda m, a, y: kept.append(y))
    seen: dict[str, Tensor] = {}
    attention.register_forward_hook(lambda m, a, y: seen.update(x=a[0], y=y))
    rotary: dict[str, Any] = {}
    attention.register_forward_pre_hook(lambda m, a, o: rotary.update(rope=o.get("rope")), with_kwargs=True)
    model(x)
    keep, (rows, tokens, _) = kept[0], seen["x"].shape
    assert keep.shape == (rows, attention.num_heads, tokens, tokens)
    assert keep.any(-1).all()
    assert abs(keep.float().mean() - 0.6) < 5 * math.sqrt(0.24 / keep.numel())

    weights: list[Tensor] = []

    class Slow(nn.Module):  # attention weights over the kept keys alone
        def forward(self, w: Tensor) -> Tensor:
            masked = torch.where(keep, w, torch.zeros(()))
            weights.append(masked / masked.sum(-1, keepdim=True))
            return weights[0]

    attention.noise_keys.eval()
    monkeypatch.setattr(fused_attention, "is_faster", lambda x: False)
    attention.attn_drop = Slow()
    slow = attention(seen["x"], **rotary) if name == "eva" else attention(seen["x"])
    assert (weights[0][~keep] == 0).all()
    torch.testing.assert_close(seen["y"], slow, rtol=1e-4, atol=1e-5)


def test_the_rate_of_keys_falls_linearly_to_0_at_the_last_block() -> None:
    model, _, _ = noisy("vit", drop_key=0.4)
    rates = [block.attn.noise_keys.full.item() for block in model.blocks]
    assert rates == pytest.approx([0.4, 0.2, 0.0])


def test_a_query_without_keys_keeps_them_all() -> None:
    layer = on(DropKey(0.999))
    keep = layer(torch.zeros(50, 2, 3, 2))
    assert keep.any(-1).all()
    seen = structured.masked(torch.tensor([[True, False], [True, True]]), torch.tensor([[False, True], [False, True]]))
    assert seen.tolist() == [[True, False], [False, True]]


# -- heads ------------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 20), st.integers(1, 6), st.floats(0.05, 0.95))
def test_whole_heads_are_dropped_and_the_rest_is_scaled(rows: int, heads: int, rate: float) -> None:
    x = torch.randn(rows, 2, heads, 3)
    y = on(HeadDropout(rate, heads))(x)
    for row in range(rows):
        alive = [h for h in range(heads) if y[row, :, h].any()]
        assert alive
        for h in alive:
            torch.testing.assert_close(y[row, :, h], x[row, :, h] * heads / len(alive))


def test_heads_are_dropped_at_the_rate_in_every_block() -> None:
    layer = on(HeadDropout(0.2, 8))
    torch.manual_seed(0)
    dropped = (layer(torch.ones(2000, 8, 1)) == 0).float().mean()
    assert abs(dropped - 0.2) < 5 * math.sqrt(0.16 / 16000)
    _, noise, _ = noisy("vit", head_dropout=0.2)
    assert [layer.full.tolist() for layer in noise.layers] == [pytest.approx([0.2])] * 3


def attention_modules(model: nn.Module) -> list[Any]:
    """One of each class that is listed."""
    names = {m: f"{type(m).__module__.rpartition('.')[2]}.{type(m).__name__}" for m in model.modules()}
    return list({name: m for m, name in reversed(names.items()) if name in ATTENTIONS}.values())


QUICK = {"BEiT", "CaiT", "XCiT", "Swin", "CrossViT", "TNT", "ViT, relative positions"}
"""Of the families with attention: small ones, whose classes are a third of those listed."""
FAMILIES = [
    pytest.param(case, id=case[1], marks=[] if case[0] in QUICK else pytest.mark.slow)
    for case in FAST + SLOW
    if not case[1].startswith(("resnet", "vgg", "densenet", "efficientnet", "mobilenet"))
]


@pytest.mark.parametrize("case", FAMILIES)
@torch.no_grad()
def test_heads_of_a_listed_attention_lie_one_after_another(case: Case) -> None:
    model = build(case, 0.0).eval()
    found = attention_modules(model)
    assert found or case[0] not in QUICK
    x = torch.randn(2, 3, case[2], case[2])
    for attention in found:
        if hasattr(attention, "fused_attn"):
            attention.fused_attn = False
        before = joined_heads(model, attention, x)
        attention.attn_drop.register_forward_hook(without_first_head)
        after = joined_heads(model, attention, x)
        assert not after[..., 0, :].any()
        assert torch.equal(before[..., 1:, :], after[..., 1:, :])


def joined_heads(model: nn.Module, attention: Any, x: Tensor) -> Tensor:
    """What enters the last layer of an attention at its first call, (rows, ..., heads, width)."""
    joined: list[Tensor] = []
    handle = attention.proj.register_forward_pre_hook(lambda m, a: joined.append(a[0]))
    model(x)
    handle.remove()
    return joined[0].unflatten(-1, (attention.num_heads, -1))


def without_first_head(module: nn.Module, inputs: Any, weights: Tensor) -> Tensor:
    """A forward hook of attention's dropout, which sees (rows, heads, ...)."""
    weights = weights.clone()
    weights[:, 0] = 0
    return weights


# -- squares of feature maps ------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 9), st.integers(0, 99))
def test_drop_block_is_its_slow_version(height: int, width: int, size: int, seed: int) -> None:
    x = torch.randn(2, 3, height, width)
    h, w = min(size, height), min(size, width)
    generator = torch.Generator().manual_seed(seed)
    seeds = torch.rand(2, 3, height - h + 1, width - w + 1, generator=generator) < 0.2
    asked: list[tuple[tuple[int, ...], float]] = []

    def draw_mask(shape: tuple[int, ...], rate: Tensor) -> Tensor:
        asked.append((tuple(shape), rate.item()))
        return ~seeds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structured, "draw_mask", draw_mask)
        y = on(DropBlock(0.1, size))(x)
    gamma = 0.1 / (h * w) * height * width / ((height - h + 1) * (width - w + 1))
    assert asked[0][0] == seeds.shape
    assert asked[0][1] == pytest.approx(gamma)
    keep = torch.ones(2, 3, height, width)
    for row, channel, i, j in seeds.nonzero().tolist():
        keep[row, channel, i : i + h, j : j + w] = 0
    torch.testing.assert_close(y, x * keep * keep.numel() / keep.sum().clamp(min=1e-6))


def test_drop_block_acts_after_the_blocks_of_the_last_two_stages() -> None:
    model, noise, x = noisy("resnet", drop_block=0.3, block_size=2)
    places = {name.rpartition(".")[0] for name, module in model.named_modules() if isinstance(module, DropBlock)}
    assert places == {"layer3.0", "layer3.1", "layer4.0"}
    outputs: list[Tensor] = []
    model.layer3[1].register_forward_hook(lambda m, a, y: outputs.append(y))
    model(x)
    noise.set_rates(0.0)
    model(x)
    dropped = ((outputs[0] == 0) & (outputs[1] != 0)).float().mean()
    assert dropped > 0.05
