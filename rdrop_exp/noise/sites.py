"""Where noise acts in a timm model: its dropouts by site, and its residual branches.

Sites are found by place and name after the model is built, whatever its own rates were: timm leaves a dropout or an
identity wherever noise could be. docs/sites.md lists what each family has.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

from rdrop_exp.config.options import Regularizer
from rdrop_exp.config.schema import OptionError, nearest

SITES = ("embed", "attention", "projection", "mlp", "head", "residual")
PRESETS = {
    "timm": ("head",),  # what timm's own drop_rate reaches
    "rdrop": ("embed", "mlp"),  # R-Drop's ViT code, attention 0
    "dru": ("embed", "attention", "projection", "mlp"),  # "Dropout Reduces Underfitting"
}
_SITE_OF = (  # of a dropout, by "path ParentClass"; the first that matches; "" where none of our names fits
    (r"\bbackbone\.head\.", ""),  # of a hybrid's stem: not the classifier
    (r"attn_drop FactorAttn", ""),  # CoaT never calls it
    (r"pos_drop", "embed"),
    (r"\battn_drop\b", "attention"),
    (r"\b(proj|out)_drop\b|\battn\.output\.drop\b", "projection"),
    (r"\b(attn|se)\.\w+\.drop ConvMlp|\battn\.attn\.mlp|meta_mlp|rel_pos\.", ""),  # they make gates, position biases
    (r"head|classifier|pre_logits|Head|Classifier", "head"),
    (r"[Mm]lp|\bdrop[123]\b|\.\d+ Sequential$", "mlp"),
)
_WRAPPERS = ("Residual", "ResidualBlock", "ResidualDrop")  # x + branch(x) of ConvMixer, SHViT and both EfficientViT


class NoiseSite(NamedTuple):
    """A place for noise: `parent.attribute`, its site ("branch": stochastic depth), and the path of its block."""

    parent: nn.Module
    attribute: str
    name: str
    block: str


def noise_sites(model: nn.Module) -> Iterator[NoiseSite]:
    """Places for noise, in the model's own order, which is the order of depth; a block is what timm numbers."""
    for path, parent in model.named_modules():
        numbered = re.match(r".*\.\d+(?![^.])", path)
        block = numbered[0] if numbered else path
        children: dict[str, Any] = dict(parent._modules) | {k: None for k, v in vars(parent).items() if v is None}
        branches = []
        if _has_shortcut(parent):
            empty = {k for k, v in children.items() if not has_weights(v) and (v is not None or k == "drop_path")}
            branches = [k for k in children if re.search(r"drop_path\d*$", k) and k in empty]
            if type(parent).__name__ in _WRAPPERS and not branches:
                branches = [k for k in ("m", "fn", "main") if k in children]
        for attribute, child in children.items():
            if attribute in branches:
                yield NoiseSite(parent, attribute, "branch", block)
            elif isinstance(child, nn.modules.dropout._DropoutNd):
                words = f"{path}.{attribute} {type(parent).__name__}".lstrip(".")
                site = next((site for pattern, site in _SITE_OF if re.search(pattern, words)), "")
                if site:
                    yield NoiseSite(parent, attribute, site, block)


def _has_shortcut(block: nn.Module) -> bool:
    """Whether the block adds its branch to its input; where not, to drop the branch would drop the sample."""
    if hasattr(block, "no_skip"):
        return not block.no_skip
    flags = (getattr(block, k, True) for k in ("has_skip", "use_shortcut", "residual", "add_identity"))
    return all(flags) and all(getattr(block, k, block) is not None for k in ("shortcut", "identity"))


def has_weights(module: nn.Module | None) -> bool:
    """Whether there is a module that computes something, and not just a place for one."""
    return module is not None and next(module.parameters(), None) is not None


def disable_builtin_dropout(model: nn.Module) -> None:
    """Take away the dropout and stochastic depth that the model was built with, also where they are only numbers."""
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        if type(module).__name__ != "DropBlock2d":  # a method of its own, like patch dropout, and only ever asked for
            for name, value in list(vars(module).items()):
                if "drop" in name and "patch" not in name and isinstance(value, float):
                    setattr(module, name, 0.0)  # read at each forward by functional dropout, fused attention, LSTMs


def choose_sites(r: Regularizer, found: set[str], name: str) -> set[str]:
    """The sites that get dropout, checked against those found in the model of that name (its class)."""
    if r.drop_path > 0 and "branch" not in found:
        raise OptionError(
            f"regularizer.drop_path={r.drop_path:g} has nowhere to act, as timm's {name} has no place for stochastic"
            " depth: set it to 0"
        )
    if r.dropout == 0 and not r.second_dropout:
        return set()
    have = found - {"branch"} | ({"residual"} if "branch" in found else set())
    listed = f"timm's {name} has {' '.join(s for s in SITES if s in have) or 'none'}"
    chosen = set(PRESETS.get(r.sites, r.sites.split("+")))
    if r.sites == "default":
        chosen = have & set(PRESETS["dru"]) or {"head"}
    elif r.sites not in PRESETS:
        for site in sorted(chosen):
            if site not in SITES:
                known = [*SITES, *PRESETS, "default"]
                raise OptionError(f"regularizer.sites={r.sites} is not known{nearest(site, known)}")
            if site not in have:
                raise OptionError(f"regularizer.sites={r.sites} names {site}, which this model lacks; {listed}")
    if not chosen & have:
        raise OptionError(f"regularizer.sites={r.sites} names no site of this model; {listed}")
    return chosen & have
