"""Where noise acts in a timm model: its dropouts by site, and its residual branches.

Sites are identified by place and name after the model is built, whatever its rates were: timm leaves a dropout or an
identity wherever noise could be. docs/sites.md lists the sites of each family.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

from rdrop_exp.config.regularizer import Regularizer
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
    """A place for noise: `parent.attribute`, its name ("branch": stochastic depth), and the path of its block.

    Without an attribute, the place is the first argument of the parent.
    Noise takes the place of a module without weights, and acts on the output of one with weights.
    """

    parent: nn.Module
    attribute: str
    name: str
    block: str


def noise_sites(model: nn.Module) -> Iterator[NoiseSite]:
    """Places for noise, in the model's own order, which is the order of depth; a block is what timm numbers."""
    positions = any(path.endswith("pos_drop") for path, _ in model.named_modules())
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
            if not path and attribute == "patch_embed" and has_weights(child) and not positions:
                yield NoiseSite(parent, attribute, "embed", block)  # Swin as published drops embedded patches
            elif attribute in branches:
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


def default_sites(have: set[str]) -> set[str]:
    """Those of "Dropout Reduces Underfitting"; the head where there are none, or none but embedded patches."""
    sites = have & set(PRESETS["dru"])
    return sites if sites - {"embed"} else {"head"}


def choose_sites(r: Regularizer, names: set[str], model: str) -> set[str]:
    """The sites that get dropout, of those (`names`) that the model of that class has."""
    if r.drop_path > 0 and "branch" not in names:
        raise OptionError(
            f"regularizer.drop_path={r.drop_path:g}: this {model} has no residual branches to drop: set it to 0"
        )
    if r.dropout == 0 and not r.second_dropout:
        return set()
    have = names - {"branch"} | ({"residual"} if "branch" in names else set())
    available = f"(available: {', '.join(s for s in SITES if s in have) or 'none'})"
    chosen = set(PRESETS.get(r.sites, r.sites.split("+")))
    if r.sites == "default":
        chosen = default_sites(have)
    elif r.sites not in PRESETS:
        for site in sorted(chosen):
            if site not in SITES:
                known = [*SITES, *PRESETS, "default"]
                raise OptionError(f"regularizer.sites={r.sites} is not a site{nearest(site, known)}")
            if site not in have:
                raise OptionError(f"regularizer.sites={r.sites}: this {model} has no {site} layers to drop {available}")
    if not chosen & have:
        missing = " or ".join(s for s in SITES if s in chosen)
        raise OptionError(f"regularizer.sites={r.sites}: this {model} has no {missing} layers to drop {available}")
    return chosen & have
