"""Where structured noise acts: in front of a ViT's blocks, in attention modules, behind convolutional blocks.

As in `sites.py`, places are recognised by what a library names and builds, whatever rates the model was built with.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torch import nn

from rdrop_exp.config.regularizer import RATES, Regularizer
from rdrop_exp.config.schema import OptionError
from rdrop_exp.noise.layers import NoiseLayer
from rdrop_exp.noise.sites import NoiseSite, has_weights
from rdrop_exp.noise.structured import DropBlock, DropKey, HeadDropout, PatchDropout
from rdrop_exp.noise.text_attention import HEADS, KEYS
from rdrop_exp.noise.text_sites import calls_attention_function

MISSING = {
    "patch_dropout": "patch tokens that can be left out",
    "drop_key": "attention that takes a mask",
    "head_dropout": "attention heads that can be dropped",
    "drop_block": "residual blocks of convolutions",
}
"""Rate → what a model without a place for it has not."""

ATTENTIONS = (
    "attention.Attention", "attention.AttentionRope", "beit.Attention", "cait.ClassAttn", "cait.TalkingHeadAttn",
    "convit.GPSA", "convit.MHSA", "crossvit.CrossAttention", "edgenext.CrossCovarianceAttn", "eva.EvaAttention",
    "fastvit.Attention", "gcvit.WindowAttentionGlobal", "maxxvit.AttentionCl", "nextvit.EfficientAttention",
    "pvt_v2.Attention", "swin_transformer.WindowAttention", "swin_transformer_v2.WindowAttention",
    "swin_transformer_v2_cr.WindowMultiHeadAttention", "tnt.Attention", "twins.GlobalSubSampleAttn",
    "vision_transformer_relpos.RelPosAttention", "volo.Attention", "volo.ClassAttention", "volo.OutlookAttention",
    "xcit.XCA",
)  # fmt: skip
"""timm's attention modules that join their heads one after another in front of `proj` (`tests/noise`: by trial)."""


class Place(NamedTuple):
    """A module, and what puts noise of a rate there."""

    module: nn.Module
    put: Callable[[nn.Module, float], NoiseLayer]


def install_structured(model: nn.Module, r: Regularizer, sites: Sequence[NoiseSite], title: str) -> list[NoiseLayer]:
    """Put the structured noise of the options into a model; `OptionError` names a rate that it has no place for."""
    places = {
        "patch_dropout": list(_patches(model)),
        "drop_key": list(_keys(model)),
        "head_dropout": list(_heads(model)),
        "drop_block": list(_blocks(model, sites, r.block_size)),
    }
    has = {"dropout": True, "drop_path": any(site.name == "branch" for site in sites)} | places
    possible = ", ".join(rate for rate in RATES if has[rate])
    layers = []
    for rate, found in places.items():
        full: float = getattr(r, rate)
        if full > 0 and not found:
            raise OptionError(f"regularizer.{rate}={full:g}: this {title} has no {MISSING[rate]} (it takes {possible})")
        for i, place in enumerate(found if full > 0 else ()):
            falling = rate == "drop_key" and len(found) > 1
            layers.append(place.put(place.module, full * (1 - i / (len(found) - 1)) if falling else full))
    return layers


def _patches(model: nn.Module) -> Iterator[Place]:
    """timm's ViT and EVA, whose `patch_drop` stands behind position embeddings, and which take fewer tokens."""
    for module in model.modules():
        names = {c.__name__ for c in type(module).__mro__ if c.__module__.startswith("timm.")}
        if names & {"VisionTransformer", "Eva"}:
            yield Place(module, _put_patches)


def _put_patches(model: nn.Module, rate: float) -> NoiseLayer:
    indices = model.patch_drop is None or type(model.patch_drop).__name__ == "PatchDropoutWithIndices"
    layer = PatchDropout(rate, int(model.num_prefix_tokens), indices)  # type: ignore[arg-type]
    model.patch_drop = layer
    return layer


def _keys(model: nn.Module) -> Iterator[Place]:
    """Attention modules of timm that take a mask, and those of transformers."""
    for module in model.modules():
        if calls_attention_function(module):
            yield Place(module, _put_keys_in_text)
        elif _is_timms(module) and "attn_mask" in inspect.signature(module.forward).parameters:
            yield Place(module, _put_keys)


def _heads(model: nn.Module) -> Iterator[Place]:
    for module in model.modules():
        if calls_attention_function(module):
            yield Place(module, _put_heads_in_text)
        elif _is_timms(module):
            yield Place(module, _put_heads)


def _is_timms(module: nn.Module) -> bool:
    kind = type(module)
    name = f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
    return kind.__module__.startswith("timm.") and name in ATTENTIONS


def _put_keys(attention: nn.Module, rate: float) -> NoiseLayer:
    layer = DropKey(rate, int(attention.num_heads))  # type: ignore[arg-type]
    attention.add_module("noise_keys", layer)
    attention.register_forward_pre_hook(layer.mask, with_kwargs=True)
    return layer


def _put_heads(attention: nn.Module, rate: float) -> NoiseLayer:
    layer = HeadDropout(rate, int(attention.num_heads))  # type: ignore[arg-type]
    attention.add_module("noise_heads", layer)
    norm = getattr(attention, "norm", None)
    joined = norm if has_weights(norm) else attention.proj
    joined.register_forward_pre_hook(layer.before)  # type: ignore[union-attr]
    return layer


def _put_keys_in_text(attention: nn.Module, rate: float) -> NoiseLayer:
    layer = DropKey(rate)
    setattr(attention, KEYS, layer)
    return layer


def _put_heads_in_text(attention: nn.Module, rate: float) -> NoiseLayer:
    layer = HeadDropout(rate)
    setattr(attention, HEADS, layer)
    return layer


def _blocks(model: nn.Module, sites: Sequence[NoiseSite], size: int) -> Iterator[Place]:
    """Residual blocks of convolutions in the last two stages, which are what the library numbers one level higher."""

    def put(block: nn.Module, rate: float) -> NoiseLayer:
        layer = DropBlock(rate, size)
        block.add_module("noise_block", layer)
        block.register_forward_hook(layer.after)
        return layer

    paths = dict.fromkeys(site.block.rstrip(".") for site in sites if site.name == "branch")
    modules = dict(model.named_modules())
    blocks = {path: modules[path] for path in paths if path and path in modules and _is_convolutional(modules[path])}
    stages = list(dict.fromkeys(path.rpartition(".")[0] for path in blocks))
    for path, block in blocks.items():
        if path.rpartition(".")[0] in stages[-2:]:
            yield Place(block, put)


def _is_convolutional(block: nn.Module) -> bool:
    modules = list(block.modules())
    return any(isinstance(m, nn.Conv2d) for m in modules) and not any(
        isinstance(m, nn.Linear | nn.LayerNorm) for m in modules
    )
