"""Where noise acts in a model that is neither timm's nor transformers': torchvision's, or one of your own.

Its dropouts by site, and the residual branches of torchvision's and torch's own blocks. For any other place, patterns
of module names (`model.sites`) say what noise acts on the output of.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.noise.sites import SITES, NoiseSite

_SITE_OF = (  # of a dropout, by "path ParentClass"; the first that matches
    (r"^(encoder\.)?dropout Encoder$|pos_drop|embed\w*\.", "embed"),
    (r"attn_drop", "attention"),
    (r"dropout EncoderBlock$|dropout1 Transformer|dropout2 TransformerDecoder|attn_layer|proj_drop", "projection"),
    (r"(^|\.)(classifier|head|heads|fc)\b|^dropout (Inception3|GoogLeNet)$", "head"),
    (r"", "mlp"),
)
_BRANCH_OF = {
    "BasicBlock": ("bn2",), "Bottleneck": ("bn3",), "InvertedResidual": ("conv", "block"), "ResBottleneckBlock": ("f",),
    "EncoderBlock": ("dropout", "mlp"), "TransformerEncoderLayer": ("dropout1", "dropout2"),
    "TransformerDecoderLayer": ("dropout1", "dropout2", "dropout3"),
}  # fmt: skip
"""Class of a block of torchvision's or torch's → where its residual branches end."""
PLACES = (*SITES[:-1], "branch")
"""What `model.sites` can name: the sites of dropout, and the residual branches."""


def noise_sites(model: nn.Module) -> Iterator[NoiseSite]:
    """Places for noise, in the order in which the model lists its modules."""
    for path, parent in model.named_modules():
        block, name = _numbered(path), type(parent).__name__
        ends = _BRANCH_OF.get(name, ()) if _adds_branch(parent) else ()
        for attribute, child in parent.named_children():
            if isinstance(child, nn.modules.dropout._DropoutNd):
                words = f"{path}.{attribute} {name}".lstrip(".")
                yield NoiseSite(
                    parent, attribute, next(s for pattern, s in _SITE_OF if re.search(pattern, words)), block
                )
            if attribute in ends or (type(child).__name__ == "StochasticDepth" and _adds_branch(parent)):
                yield NoiseSite(parent, attribute, "branch", block)


def matched_sites(model: nn.Module, patterns: Mapping[str, Any]) -> list[NoiseSite]:
    """Places by patterns of module names, such as `{"mlp": ["blocks.*.fc2"]}`; `OptionError` for one without a match.

    Noise acts on the output of each module; a dropout is replaced.
    """
    check_patterns(patterns)
    modules = {path: module for path, module in model.named_modules() if path}
    site_of: dict[str, list[str]] = {}
    for site, several in patterns.items():
        for pattern in [several] if isinstance(several, str) else several:
            matches = fnmatch.filter(modules, pattern)
            if not matches:
                raise OptionError(
                    f"model.sites.{site}={pattern} matches no module of {type(model).__name__}"
                    f"{nearest(pattern, modules)}"
                )
            for path in matches:
                site_of.setdefault(path, []).append(site)
    return [_place(model, path, site) for path in modules for site in site_of.get(path, ())]


def check_patterns(patterns: Mapping[str, Any]) -> None:
    """`OptionError` for what is no site, or no pattern."""
    for site, several in patterns.items():
        if site not in PLACES:
            raise OptionError(f"model.sites.{site} is not a site{nearest(str(site), PLACES)}")
        texts: Sequence[Any] = [several] if isinstance(several, str) else several if isinstance(several, list) else [0]
        if not all(isinstance(text, str) and text for text in texts):
            raise OptionError(f"model.sites.{site}={several} must be a list of patterns, such as [blocks.*.fc2]")


def _place(model: nn.Module, path: str, site: str) -> NoiseSite:
    parent, _, attribute = path.rpartition(".")
    return NoiseSite(model.get_submodule(parent), attribute, site, _numbered(path))


def last_layer(model: nn.Module) -> list[nn.Module]:
    """The last linear layer in the model's order, which is its classifier unless it has a method `get_classifier`."""
    linear: list[nn.Module] = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return linear[-1:]


def _adds_branch(block: nn.Module) -> bool:
    """Whether the block adds its branch to its input, with samples as rows."""
    attention = getattr(block, "self_attn", None)
    if isinstance(attention, nn.MultiheadAttention) and not attention.batch_first:
        return False  # rows are positions
    return bool(getattr(block, "use_res_connect", True))


def _numbered(path: str) -> str:
    numbered = re.match(r".*\.\w*\d+(?![^.])", path)
    return numbered[0] if numbered else path
