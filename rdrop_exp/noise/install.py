"""Dropout and stochastic depth whose rates are tensors, and installing them in a timm model.

The rates live in non-persistent buffers: a schedule moves them every step without recompiling a compiled model, and the
state dict keeps timm's keys. They take the place of timm's own noise, whatever rates the model was built with.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from rdrop_exp.config.options import Regularizer
from rdrop_exp.noise.sample_drop import Kept, choose_rows, select, spread
from rdrop_exp.noise.shared_prefix import Parting
from rdrop_exp.noise.sites import Slot, choose, has_weights, silence, slots


def drop(x: Tensor, rate: Tensor, per_row: bool = False) -> Tensor:
    """Zero each element of `x` (rows, ...), or each row, with its pass's rate and scale the rest by 1/(1 - rate).

    `rate` is (passes,) in 0..1, float32, and the rows of `x` are pass by pass; (1,) serves all rows.
    """
    if len(rate) > 1:
        rate = rate.repeat_interleave(len(x) // len(rate))
    rate = rate.view(-1, *[1] * (x.ndim - 1))
    if per_row:
        keep = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= rate
    elif x.device.type == "cpu" and not torch.compiler.is_compiling():
        # A rate in 65536ths, rounded up or down at random: on average it is exact.
        threshold = (rate * 65536 + torch.rand(())).floor().clamp(max=65535) - 32768
        keep = _random_halves(x.shape) >= threshold.to(torch.int16)
    else:
        keep = torch.rand_like(x, dtype=torch.float32) >= rate  # float32 even for bf16, which has 256 draws in 0..1
    return (x * (keep * (1.0 / (1.0 - rate)))).to(x.dtype)


def _random_halves(shape: torch.Size) -> Tensor:
    """Uniform int16 on the CPU, four from each 64-bit draw: an eighth of the time of as many floats."""
    count = math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int16)[:count].view(shape)


class _Noise(nn.Module):
    """A rate for each pass (or one for all), and whether it acts at all: `rate` = `full` times the schedule's share."""

    rate: Tensor
    full: Tensor
    per_row = False

    def __init__(self, *full: float) -> None:
        super().__init__()
        self.register_buffer("full", torch.tensor(full), persistent=False)
        self.register_buffer("rate", torch.zeros(len(full)), persistent=False)
        self.highest = max(full)
        self.share = 0.0
        self.passes = 1
        self.active = False

    def forward(self, x: Tensor) -> Tensor:
        """(rows, ...) → the same; the identity in eval mode and while inactive."""
        return drop(x, self.rate[: self.passes], self.per_row) if self.training and self.active else x

    def before(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Forward pre-hook: noise on what goes into a module that has no slot before it."""
        return (self(inputs[0]), *inputs[1:])

    def after(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        """Forward hook: noise on what comes out of a module that has no slot after it."""
        noisy: Tensor = self(output)
        return noisy

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow the model to its device but stay float32: in bfloat16 a rate could be off by 0.2 %."""
        before = self.full, self.rate
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.full, self.rate = before[0].to(self.full.device), before[1].to(self.rate.device)
        return self


class Dropout(_Noise):
    """Element-wise dropout."""

    p = 0.0  # timm's fused attention reads this, and runs only while no noise is active

    def unfuse(self, attention: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Forward pre-hook of an attention: its fused kernel, which takes no tensor as its rate, steps aside."""
        attention.fused_attn = not (self.training and self.active)  # type: ignore[assignment]


class DropPath(_Noise):
    """Stochastic depth (Huang et al. 2016): drops a residual branch for whole rows, which are samples.

    Where `skipping` has found the branch's entrance, rows are chosen there and only those arrive here.
    """

    per_row = True
    kept: Kept | None = None
    skip = True

    def enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Forward pre-hook where the branch begins. A compiled model, whose shapes must stay, goes without."""
        if not (self.training and self.active) or torch.compiler.is_compiling():
            return None
        self.kept = choose_rows(len(inputs[0]), self.highest * self.share, inputs[0].device, self.skip)
        return (select(inputs[0], self.kept), *inputs[1:])

    def forward(self, x: Tensor) -> Tensor:
        """(rows, ...), or only the kept ones → (rows, ...)."""
        if self.kept is None:
            return super().forward(x)
        kept, self.kept = self.kept, None
        return spread(x, kept)


class Noise:
    """The noise of one or several models: every rate is its full value times one share."""

    def __init__(self, modules: Sequence[_Noise], attentions: Sequence[nn.Module] = ()) -> None:
        self.modules = [m for m in modules if m.highest > 0]
        self.attentions = list(attentions)  # those whose fused kernel steps aside while noise is active
        self.parting: Parting | None = None  # where the passes of an input part
        self._set: tuple[float, int] = (0.0, 1)

    def set(self, share: float, passes: int = 1) -> None:
        """Make all rates `share` (0..1) of full, and each input pass that often; nothing waits for the device."""
        if (share, passes) == self._set or not self.modules:
            return
        self._set = (share, passes)
        if self.parting:
            self.parting.copies = passes
        rates = [m.rate for m in self.modules]
        torch._foreach_copy_(rates, [m.full for m in self.modules])
        torch._foreach_mul_(rates, share)
        for module in self.modules:
            module.passes = min(passes, len(module.full))
            module.share, module.active = share, share > 0

    def rates(self, share: float) -> dict[str, float]:
        """The highest rate of each kind at this share, as `rate/dropout` and `rate/drop_path`, where there is one."""
        kinds = {"rate/dropout": Dropout, "rate/drop_path": DropPath}
        found = {name: [m.highest for m in self.modules if isinstance(m, kind)] for name, kind in kinds.items()}
        return {name: share * max(rates) for name, rates in found.items() if rates}


def install(model: nn.Module, r: Regularizer) -> Noise:
    """Put the options' noise into a timm model, in place of its own; `OptionError` names a place it does not have."""
    places = list(slots(model))
    found = {slot.site for slot in places} | ({"head"} if hasattr(model, "get_classifier") else set())
    chosen = choose(r, found, type(model).__name__)
    silence(model)
    rates = (r.dropout,) if r.second_dropout is None else (r.dropout, *[r.second_dropout] * (r.passes - 1))
    modules: list[_Noise] = []
    attentions: list[nn.Module] = []
    for slot in places:
        if slot.site in chosen:
            modules.append(noise := Dropout(*rates))
            setattr(slot.parent, slot.attribute, noise)
            if slot.site == "attention" and getattr(slot.parent, "fused_attn", False):
                slot.parent.register_forward_pre_hook(noise.unfuse)
                attentions.append(slot.parent)
    if "head" in chosen and not any(slot.site == "head" for slot in places):
        classifier = model.get_classifier()  # type: ignore[operator]
        for i, module in enumerate([classifier] if isinstance(classifier, nn.Module) else classifier):
            modules.append(noise := Dropout(*rates))
            model.add_module(f"noise{i}", noise)
            module.register_forward_pre_hook(noise.before)
    branches = [slot for slot in places if slot.site == "branch"]
    blocks = {block: i for i, block in enumerate(dict.fromkeys(slot.block for slot in branches))}
    for slot in branches:
        share = blocks[slot.block] / (len(blocks) - 1) if r.profile == "linear" and len(blocks) > 1 else 1.0
        layers: list[_Noise] = [Dropout(*rates)] if "residual" in chosen else []
        layers += [DropPath(r.drop_path * share)] if r.drop_path > 0 else []
        _put(slot, layers)
        modules += layers
    return Noise(modules, attentions)


def _put(slot: Slot, layers: list[_Noise]) -> None:
    """Noise on a residual branch: in the place that timm left for it, or after a branch that has none."""
    child = getattr(slot.parent, slot.attribute)
    if has_weights(child):
        for i, layer in enumerate(layers):
            slot.parent.add_module(f"noise{i}", layer)
            child.register_forward_hook(layer.after)
    elif layers:
        setattr(slot.parent, slot.attribute, layers[0] if len(layers) == 1 else nn.Sequential(*layers))
