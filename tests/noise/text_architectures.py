"""Small builds of transformers' families, for the walk over all of them. The table of docs/sites.md is printed by

python -m tests.noise.text_architectures
"""

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.models.text import TextModel, create
from rdrop_exp.text.tokenizers import BEGIN, END, PAD, UNKNOWN, Tokenizer
from rdrop_exp.text.tokens import TextSpec

_SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_ENCODER = _SIZE | {"max_position_embeddings": 64}
_PAIR = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64,
}  # fmt: skip

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {  # family: model type, kind of target, small arguments
    "ALBERT": ("albert", "class", _ENCODER | {"embedding_size": 16}),
    "BART": ("bart", "pair", _PAIR),
    "BERT": ("bert", "class", _ENCODER),
    "DeBERTa": ("deberta-v2", "class", _ENCODER),
    "DistilBERT": (
        "distilbert", "class", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 64}
    ),
    "ELECTRA": ("electra", "class", _ENCODER | {"embedding_size": 16}),
    "GPT-2": ("gpt2", "language", {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "Llama": ("llama", "language", _ENCODER | {"num_key_value_heads": 1}),
    "Marian": ("marian", "pair", _PAIR),
    "mBART": ("mbart", "pair", _PAIR),
    "OPT": (
        "opt", "language", {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 32,
                            "word_embed_proj_dim": 16, "max_position_embeddings": 64},
    ),
    "Pegasus": ("pegasus", "pair", _PAIR),
    "Qwen": ("qwen2", "language", _ENCODER | {"num_key_value_heads": 1}),
    "RoBERTa": ("roberta", "class", _ENCODER),
    "T5": ("t5", "pair", {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}),
}  # fmt: skip
TEXT_SITES = ("embed", "attention", "projection", "mlp", "head")
WORDS = 60


def tokenizer() -> Tokenizer:
    """One token per word: w4 to w59 after the four special ones."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [PAD, BEGIN, END, UNKNOWN, *(f"w{i}" for i in range(4, WORDS))]
    backend = Backend(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, pad_token=PAD, bos_token=BEGIN, eos_token=END, unk_token=UNKNOWN
    )
    return Tokenizer(fast, "bpe")


def spec_of(kind: str, length: int = 12, classes: int = 3) -> TextSpec:
    return TextSpec(kind, classes, tokenizer(), length)


def options_of(family: str, args: dict[str, Any] | None = None, **values: Any) -> Options:
    name, _, small = CASES[family]
    return from_dict({"model": {"name": name, "args": small | (args or {})}, **values})


def build(family: str) -> TextModel:
    """The model of a family without noise, as transformers makes it."""
    kind = CASES[family][1]
    return TextModel(create(options_of(family), spec_of(kind)), kind)


def tokens(kind: str, rows: int = 4, length: int = 12, seed: int = 0) -> dict[str, Tensor]:
    """A batch whose second half has four tokens less than the first; language modelling has whole blocks."""
    ids = torch.randint(4, WORDS, (rows, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    if kind != "language":
        mask[rows // 2 :, -4:] = 0
    ids = ids.masked_fill(mask == 0, 0)
    ids[torch.arange(rows), mask.sum(1) - 1] = 2
    inputs = {"input_ids": ids, "attention_mask": mask}
    return inputs | (
        {"decoder_input_ids": ids.flip(0), "decoder_attention_mask": mask.flip(0)} if kind == "pair" else {}
    )


def places_of(family: str) -> dict[str, int]:
    """How many places for noise a model of two layers has of each site, and of its residual branches."""
    with torch.device("meta"):
        model = build(family)
    counts = Counter(site.name for site in model.noise_sites())
    return {name: counts[name] for name in (*TEXT_SITES, "branch")} | {"head": counts["head"] or 1}


def row(family: str) -> str:
    """One line of docs/sites.md."""
    return f"| {family} | {CASES[family][0]} | " + " | ".join(str(count) for count in places_of(family).values()) + " |"


if __name__ == "__main__":
    print("\n".join(sorted(map(row, CASES), key=str.lower)))
