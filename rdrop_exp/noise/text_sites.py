"""Where noise acts in a transformers model: its dropouts by site, and its residual branches.

Three ways in which these models drop: a module (`nn.Dropout`) by name, a number read by the attention function, and a
number read by `nn.functional.dropout` between modules, which leaves no module to replace. There, and where a model has
no dropout at all (Llama), noise acts on the output of the module before it.
"""

import re
from collections.abc import Iterator

from torch import nn

from rdrop_exp.noise.sites import NoiseSite
from rdrop_exp.noise.text_attention import NOISE

_SITE_OF = (  # of a dropout module, by "path ParentClass"; the first that matches; "" where it never acts
    (r"pooler\.dropout|Albert(Layer|Group)$", ""),  # AlbertLayer has one and never calls it
    (r"embeddings\.dropout|\.drop GPT2Model|coder\.dropout T5Stack", "embed"),
    (
        r"resid_dropout GPT2Attention|attention\.output\.dropout|output_dropout|dropout T5Layer(Self|Cross)Att",
        "projection",
    ),
    (r"attn_dropout|attention\.(self\.)?dropout|attention_dropout", "attention"),
    (r"output\.dropout|mlp\.dropout|ffn\.dropout|DenseReluDense\.dropout|dropout T5LayerFF", "mlp"),
    (r"dropout\w* \w*(Classif|For\w+|Head)", "head"),
)
_ENDS = r"resid_dropout|output_dropout|output\.dropout|mlp\.dropout|ffn\.dropout|dropout T5Layer"
"""Of these, those on the output of a residual branch."""
_LAYER = re.compile(r"(Encoder|Decoder)?Layer$|Block$")


def noise_sites(model: nn.Module) -> Iterator[NoiseSite]:
    """Places for noise, in the model's own order; a block is what transformers numbers."""
    for path, parent in model.named_modules():
        block = _numbered(path)
        name, children = type(parent).__name__, dict(parent.named_children())
        if calls_attention_function(parent):
            yield NoiseSite(parent, NOISE, "attention", block)
        for attribute, child in children.items():
            words = f"{path}.{attribute} {name}".lstrip(".")
            if isinstance(child, nn.Dropout):
                site = next((site for pattern, site in _SITE_OF if re.search(pattern, words)), "")
                if site and not (site == "attention" and not _calls_its_dropout(name)):
                    yield NoiseSite(parent, attribute, site, block)
                    if re.search(_ENDS, words):
                        yield NoiseSite(parent, attribute, "branch", block)
        yield from _without_modules(parent, children, block)


def calls_attention_function(module: nn.Module) -> bool:
    """Whether it is an attention of transformers that computes by `text_attention`, where that is chosen."""
    own = _calls_its_dropout(type(module).__name__)
    return hasattr(module, "is_causal") and hasattr(module, "config") and not own


def _without_modules(parent: nn.Module, children: dict[str, nn.Module], block: str) -> Iterator[NoiseSite]:
    """Sites without a dropout module: those of BART's, OPT's and Llama's families, and DistilBERT's attention."""
    name = type(parent).__name__
    if isinstance(layers := children.get("layers"), nn.ModuleList) and len(layers):
        yield NoiseSite(layers[0], "", "embed", block)  # on what enters the first layer
        return
    if not _LAYER.search(name):
        return
    if name == "TransformerBlock":  # DistilBERT: attention without a dropout on its output
        yield NoiseSite(parent, "attention", "projection", block)
        yield NoiseSite(parent, "attention", "branch", block)
        return
    by_sample = not name.startswith("OPT")  # whose feed-forward takes all tokens of the batch as rows
    for attribute in children:
        attention = attribute in ("self_attn", "encoder_attn")
        if attention or (attribute in ("fc2", "mlp", "ffn_output") and not _has_dropout(children[attribute])):
            yield NoiseSite(parent, attribute, "projection" if attention else "mlp", block)
            if by_sample:
                yield NoiseSite(parent, attribute, "branch", block)


def _has_dropout(module: nn.Module) -> bool:
    return any(isinstance(m, nn.Dropout) for m in module.modules())


def _calls_its_dropout(attention: str) -> bool:
    """DeBERTa's attention has a dropout module that it calls; in the others the attention function reads a number."""
    return attention.startswith(("DebertaV2", "DisentangledSelfAttention", "Deberta"))


def _numbered(path: str) -> str:
    numbered = re.match(r".*\.\d+(?![^.])", path)
    return numbered[0] if numbered else path
