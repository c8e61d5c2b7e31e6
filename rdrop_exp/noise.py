"""Dropout and stochastic depth whose rates are tensors, and where they act in a timm model.

The rates live in non-persistent buffers: a schedule moves them every step without recompiling a compiled model, and the
state dict keeps timm's keys. Sites are found by place and name after the model is built, whatever its own rates were.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rdrop_exp.config import Regularizer
from rdrop_exp.schema import OptionError, nearest

SITES = ("embed", "attention", "projection", "mlp", "head", "residual")
PRESETS = {
    "timm": ("head",),  # what timm's own drop_rate reaches
    "rdrop": ("embed", "mlp"),  # R-Drop's ViT code, attention 0
    "dru": ("embed", "attention", "projection", "mlp"),  # "Dropout Reduces Underfitting"
}


def drop(x: Tensor, rate: Tensor, per_row: bool = False) -> Tensor:
    """Zero each element of `x` (rows, ...), or each row, with its pass's rate and scale the rest by 1/(1 - rate).

    `rate` is (passes,), and the rows of `x` are pass by pass; (1,) serves all rows.
    """
    if len(rate) > 1:
        rate = rate.repeat_interleave(len(x) // len(rate))
    rate = rate.view(-1, *[1] * (x.ndim - 1))
    if per_row:
        keep = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= rate
    elif x.device.type == "cpu" and not torch.compiler.is_compiling():
        keep = _random_halves(x.shape) >= ((rate * 65536).round() - 32768).clamp(max=32767).to(torch.int16)
    else:
        keep = torch.rand_like(x, dtype=torch.float32) >= rate  # float32 even for bf16, which has 256 draws in 0..1
    return x * (keep.to(x.dtype) * (1.0 / (1.0 - rate)).to(x.dtype))


def _random_halves(shape: torch.Size) -> Tensor:
    """Uniform int16 on the CPU, four from each 64-bit draw: an eighth of the time of as many floats."""
    count = math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int16)[:count].view(shape)


class _Noise(nn.Module):
    """A rate for each pass (or one for all), and whether it acts at all: `rate` = `full` times the schedule's share."""

    rate: Tensor
    full: Tensor

    def __init__(self, *full: float) -> None:
        super().__init__()
        self.register_buffer("full", torch.tensor(full), persistent=False)
        self.register_buffer("rate", torch.zeros(len(full)), persistent=False)
        self.highest = max(full)
        self.passes = 1
        self.active = False


class Dropout(_Noise):
    """Element-wise dropout; the identity in eval mode and while inactive."""

    p = 0.0  # timm's fused attention reads this, and runs only while no noise is active

    def forward(self, x: Tensor) -> Tensor:
        return drop(x, self.rate[: self.passes]) if self.training and self.active else x


class DropPath(_Noise):
    """Stochastic depth (Huang et al. 2016): drops a residual branch for whole rows; else as `Dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        return drop(x, self.rate[: self.passes], per_row=True) if self.training and self.active else x


class Noise:
    """The noise of one or several models: every rate is its full value times one share."""

    def __init__(self, modules: list[_Noise], attentions: list[nn.Module]) -> None:
        self.modules = [m for m in modules if m.highest > 0]
        self.attentions = attentions
        self._set: tuple[float, int] = (0.0, 1)

    def set(self, share: float, passes: int = 1) -> None:
        """Make all rates `share` (0..1) of full, for rows of that many passes; nothing waits for the device."""
        if (share, passes) == self._set or not self.modules:
            return
        was_active, active = self._set[0] > 0, share > 0
        self._set = (share, passes)
        rates = [m.rate for m in self.modules]
        torch._foreach_copy_(rates, [m.full for m in self.modules])
        torch._foreach_mul_(rates, share)
        for module in self.modules:
            module.passes = min(passes, len(module.full))
            module.active = active
        if active != was_active:
            for attention in self.attentions:  # the fused kernel cannot take a tensor as its rate
                attention.fused_attn = not active  # type: ignore[assignment]

    def rates(self, share: float) -> dict[str, float]:
        """The highest rate of each kind at this share, as `rate/dropout` and `rate/drop_path`, where there is one."""
        kinds = {"rate/dropout": Dropout, "rate/drop_path": DropPath}
        found = {name: [m.highest for m in self.modules if isinstance(m, kind)] for name, kind in kinds.items()}
        return {name: share * max(rates) for name, rates in found.items() if rates}


class Slot(NamedTuple):
    """A place for noise: `parent.attribute`, and its site (or "branch", where stochastic depth acts)."""

    parent: nn.Module
    attribute: str
    site: str


def slots(model: nn.Module) -> Iterator[Slot]:
    """Places for noise, in the model's own order, which is the order of depth."""
    for path, parent in model.named_modules():
        children: dict[str, nn.Module | None] = {**parent._modules}
        children |= {k: None for k, v in vars(parent).items() if v is None and "drop_path" in k}
        for attribute, child in children.items():
            if "drop_path" in attribute and (child is None or not list(child.parameters())):
                yield Slot(parent, attribute, "branch")
            elif isinstance(child, nn.modules.dropout._DropoutNd | Dropout):
                site = _site(f"{path}.{attribute}", type(parent).__name__)
                if site:
                    yield Slot(parent, attribute, site)


def _site(path: str, parent: str) -> str:
    """Site of a dropout, from its path and its parent's class; empty where it has no name of ours."""
    attribute = path.rsplit(".", 1)[-1]
    if "pos_drop" in path:
        return "embed"
    if attribute.startswith("attn_drop"):
        return "attention"
    if attribute.startswith("proj_drop"):
        return "projection"
    if "head" in path.lower() or "classifier" in path or any(w in parent for w in ("Head", "Classifier", "Cls")):
        return "head"
    if "mlp" in parent.lower() or "mlp" in path or attribute in ("drop1", "drop2", "drop3"):
        return "mlp"
    return ""


def silence(model: nn.Module) -> None:
    """Take away the noise that the model was built with."""
    for module in list(model.modules()):
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        for name in ("drop_rate", "attn_drop_rate", "drop_prob", "drop"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)  # read by functional dropout at each forward


def _before(classifier: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Forward pre-hook of a classifier whose model has no dropout module before it."""
    noise: nn.Module = classifier.noise  # type: ignore[assignment]
    return (noise(arguments[0]), *arguments[1:])


def install(model: nn.Module, r: Regularizer) -> Noise:
    """Put the options' noise into a timm model, in place of its own; `OptionError` names a site it does not have."""
    name = type(model).__name__
    places = list(slots(model))
    silence(model)
    wanted = _wanted(r, {slot.site for slot in places}, name)
    rates = (r.dropout,) if r.second_dropout is None else (r.dropout, *[r.second_dropout] * (r.passes - 1))
    modules: list[_Noise] = []
    attentions: list[nn.Module] = []
    for parent, attribute, site in places:
        if site in wanted:
            modules.append(Dropout(*rates))
            setattr(parent, attribute, modules[-1])
            if site == "attention" and getattr(parent, "fused_attn", False):
                attentions.append(parent)
    if "head" in wanted and not any(slot.site == "head" for slot in places):
        modules.append(Dropout(*rates))
        classifier = model.get_classifier()  # type: ignore[operator]
        classifier.add_module("noise", modules[-1])
        classifier.register_forward_pre_hook(_before)
    branches = [slot for slot in places if slot.site == "branch"]
    if r.drop_path > 0 and not branches:
        raise OptionError(f"regularizer.drop_path={r.drop_path:g} has nowhere to act: {name} has no residual branches")
    blocks = list(dict.fromkeys(slot.parent for slot in branches))
    for parent, attribute, _ in branches:
        share = blocks.index(parent) / max(len(blocks) - 1, 1) if r.profile == "linear" else 1.0
        layers: list[_Noise] = [Dropout(*rates)] if "residual" in wanted else []
        layers += [DropPath(r.drop_path * share)] if r.drop_path > 0 else []
        modules += layers
        if layers or getattr(parent, attribute) is not None:
            setattr(parent, attribute, layers[0] if len(layers) == 1 else nn.Sequential(*layers))
    return Noise(modules, attentions)


def _wanted(r: Regularizer, found: set[str], name: str) -> set[str]:
    """The sites that get dropout, checked against those the model has."""
    if r.dropout == 0 and not r.second_dropout:
        return set()
    have = (found - {"branch"}) | {"head"} | ({"residual"} if "branch" in found else set())
    listed = f"{name} has {' '.join(s for s in SITES if s in have)}"
    if r.sites == "default":
        return have & set(PRESETS["dru"]) or {"head"}
    if r.sites in PRESETS:
        chosen = have & set(PRESETS[r.sites])
        if not chosen:
            raise OptionError(f"regularizer.sites={r.sites} names no site of this model; {listed}")
        return chosen
    for site in r.sites.split("+"):
        if site not in SITES:
            raise OptionError(f"regularizer.sites={r.sites} is not known{nearest(site, [*SITES, *PRESETS, 'default'])}")
        if site not in have:
            raise OptionError(f"regularizer.sites={r.sites} names a site that this model lacks; {listed}")
    return set(r.sites.split("+"))
