"""Installing noise in a model, in place of its own, whatever rates the model was built with."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from rdrop_exp.config.regularizer import RATES, Regularizer
from rdrop_exp.noise import fused_attention, plain_sites, text_sites
from rdrop_exp.noise.layers import Dropout, DropPath, NoiseLayer
from rdrop_exp.noise.shared_prefix import SharedPrefix
from rdrop_exp.noise.sites import NoiseSite, choose_sites, disable_builtin_dropout, has_weights, noise_sites
from rdrop_exp.noise.structured import DropBlock, DropKey, HeadDropout, PatchDropout
from rdrop_exp.noise.structured_sites import install_structured

KINDS = dict(zip(RATES, (Dropout, DropPath, PatchDropout, DropKey, HeadDropout, DropBlock), strict=True))
"""The layers that each rate is of."""


class InstalledNoise:
    """The noise of one or several models: every rate is its full value times one scale."""

    def __init__(self, layers: Sequence[NoiseLayer], attentions: Sequence[nn.Module] = ()) -> None:
        self.layers = [layer for layer in layers if layer.highest > 0]
        self.attentions = list(attentions)  # those whose fused kernel steps aside while noise is active
        self.shared_prefix: SharedPrefix | None = None  # repeats the batch where the passes begin to differ
        self._set: tuple[float, int] = (0.0, 1)

    def set_rates(self, rate_scale: float, num_passes: int = 1) -> None:
        """Make all rates `rate_scale` (0..1) of full, for that many passes; nothing waits for the device."""
        if (rate_scale, num_passes) == self._set or not self.layers:
            return
        self._set = (rate_scale, num_passes)
        if self.shared_prefix:
            self.shared_prefix.num_passes = num_passes
        rates = [layer.rate for layer in self.layers]
        torch._foreach_copy_(rates, [layer.full for layer in self.layers])
        torch._foreach_mul_(rates, rate_scale)
        for layer in self.layers:
            layer.num_passes = min(num_passes, len(layer.full))
            layer.rate_scale, layer.active = rate_scale, rate_scale > 0

    def rates(self, rate_scale: float) -> dict[str, float]:
        """The highest rate of each kind at this scale, such as `rate/dropout`, where there is one."""
        full = {name: [m.highest for m in self.layers if isinstance(m, kind)] for name, kind in KINDS.items()}
        return {f"rate/{name}": rate_scale * max(rates) for name, rates in full.items() if rates}


def find_sites(model: nn.Module, patterns: Mapping[str, Any] | None = None) -> list[NoiseSite]:
    """Places for noise: those that match the patterns if there are any, else those of the model's library."""
    if patterns:
        return plain_sites.matched_sites(model, patterns)
    if hasattr(model, "noise_sites"):
        return list(model.noise_sites())  # type: ignore[operator]
    if type(model).__module__.startswith("transformers."):
        return list(text_sites.noise_sites(model))
    return list(noise_sites(model) if _from_timm(model) else plain_sites.noise_sites(model))


def _from_timm(model: nn.Module) -> bool:
    return any(type(module).__module__.startswith("timm.") for module in model.modules())


def classifiers(model: nn.Module) -> list[nn.Module]:
    """The layers that give the logits."""
    if not hasattr(model, "get_classifier"):
        return [] if _from_timm(model) else plain_sites.last_layer(model)
    classifier = model.get_classifier()  # type: ignore[operator]
    return [classifier] if isinstance(classifier, nn.Module) else list(classifier)


def install_noise(model: nn.Module, r: Regularizer, patterns: Mapping[str, Any] | None = None) -> InstalledNoise:
    """Put the options' noise into a model, in place of its own; `OptionError` names a site it does not have."""
    sites = find_sites(model, patterns)
    head = hasattr(model, "get_classifier") or (not patterns and classifiers(model))
    names = {site.name for site in sites} | ({"head"} if head else set())
    title = getattr(model, "title", type(model).__name__)
    chosen = choose_sites(r, names, title)
    disable_builtin_dropout(model)
    layers = install_structured(model, r, sites, title)
    rates = (r.dropout,) if r.second_dropout is None else (r.dropout, *[r.second_dropout] * (r.passes - 1))
    inside = chosen - {"embed", "head"} | ({"branch"} if "residual" in chosen else set())
    shares = dropout_shares(r.dropout_profile, [site.block for site in sites if site.name in inside])
    attentions: list[nn.Module] = []
    for site in sites:
        if site.name in chosen:
            share = shares[site.block] if site.name in inside else 1.0
            layers.append(dropout := Dropout(*(share * rate for rate in rates)))
            _put(site, [dropout])
            if site.name == "attention" and getattr(site.parent, "fused_attn", False):
                site.parent.register_forward_pre_hook(dropout.unfuse)
                attentions.append(site.parent)
    for module in model.modules():
        if getattr(module, "fused_attn", False) and module not in attentions:
            module.register_forward_pre_hook(fused_attention.choose)
    if "head" in chosen and not any(site.name == "head" for site in sites):
        for i, module in enumerate(classifiers(model)):
            layers.append(dropout := Dropout(*rates))
            model.add_module(f"noise_head{i}", dropout)
            module.register_forward_pre_hook(dropout.before)
    branches = [site for site in sites if site.name == "branch"]
    blocks = {block: i for i, block in enumerate(dict.fromkeys(site.block for site in branches))}
    for site in branches:
        depth = blocks[site.block] / (len(blocks) - 1) if r.profile == "linear" and len(blocks) > 1 else 1.0
        branch: list[NoiseLayer] = []
        if "residual" in chosen:
            branch.append(Dropout(*(shares[site.block] * rate for rate in rates)))
        branch += [DropPath(r.drop_path * depth)] if r.drop_path > 0 else []
        _put(site, branch)
        layers += branch
    return InstalledNoise(layers, attentions)


def dropout_shares(profile: str, blocks: Sequence[str]) -> dict[str, float]:
    """Block → its rate as a share of the mean over blocks, 0..2. Blocks may be named several times, by depth.

    front_loaded: twice the mean in the first half, nothing after it (Fernandez Sarmiento 2026, arXiv 2605.21648).
    """
    names = list(dict.fromkeys(blocks))
    last = len(names) - 1
    if profile == "constant" or last < 1:
        return dict.fromkeys(names, 1.0)
    if profile == "front_loaded":
        return {name: min(2.0, max(0.0, len(names) - 2.0 * i)) for i, name in enumerate(names)}
    rising = {name: 2.0 * i / last for i, name in enumerate(names)}
    return rising if profile == "linear" else {name: 2.0 - share for name, share in rising.items()}


def _put(site: NoiseSite, layers: list[NoiseLayer]) -> None:
    """Noise in the place that the model left for it, or on the output of what is there, or on a module's input."""
    child = getattr(site.parent, site.attribute, None) if site.attribute else site.parent
    if child is not None and has_weights(child):
        for layer in layers:
            count = sum(name.startswith("noise_") for name, _ in site.parent.named_children())
            site.parent.add_module(f"noise_{site.attribute or 'input'}{count}", layer)
            if site.attribute:
                child.register_forward_hook(layer.after)
            else:
                child.register_forward_pre_hook(layer.before)
    elif isinstance(child, NoiseLayer) and layers:  # a dropout that ends a residual branch
        setattr(site.parent, site.attribute, nn.Sequential(child, *layers))
    elif layers:
        setattr(site.parent, site.attribute, layers[0] if len(layers) == 1 else nn.Sequential(*layers))
