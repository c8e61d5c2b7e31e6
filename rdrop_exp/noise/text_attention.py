"""Attention of transformers models: fused while no noise acts on its probabilities, else in steps with dropout."""

from typing import Any

import torch
from torch import Tensor, nn

from rdrop_exp.noise.structured import masked

NAME = "rdrop_exp"
"""Name under which transformers knows our attention function."""
NOISE = "noise_attention"
"""Attribute of an attention module that holds the noise of its probabilities."""
KEYS, HEADS = "noise_keys", "noise_heads"
"""Those that hold the noise of its keys and of its heads."""


def register() -> None:
    """Make `attn_implementation=NAME` a choice, with the masks of the fused attention."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """transformers' fused attention unless its probabilities are dropped; then products, softmax and dropout.

    Queries (batch, heads, length, size), keys and values alike, of perhaps fewer heads → (batch, length, heads, size).
    The model's own rate `dropout` is ignored.
    """
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    if attention_mask is not None and len(attention_mask) not in (1, len(query)):
        # The passes were repeated after the mask was made (`shared_prefix`).
        attention_mask = attention_mask.repeat(len(query) // len(attention_mask), 1, 1, 1)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if keys := _active(module, KEYS):
        if attention_mask is None and causal and query.shape[2] > 1:
            attention_mask = _causal(query, key)
        attention_mask = masked(attention_mask, keys(query.new_empty(1).expand(*query.shape[:3], key.shape[2])))
    noise, heads = _active(module, NOISE), _active(module, HEADS)
    if not noise:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=0.0, scaling=scaling, is_causal=is_causal,
            position_bias=position_bias, **options,
        )  # fmt: skip
        return heads(output) if heads else output, None
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scores = (query * (query.shape[-1] ** -0.5 if scaling is None else scaling)) @ key.transpose(2, 3)
    if position_bias is not None:
        scores = scores + position_bias
    if attention_mask is None and causal and query.shape[2] > 1:
        attention_mask = _causal(query, key)
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores = scores + attention_mask
    weights = noise(scores.softmax(-1, dtype=torch.float32).to(query.dtype))
    output = (weights @ value).transpose(1, 2).contiguous()
    return heads(output) if heads else output, None


def _active(module: nn.Module, name: str) -> Any:
    """The noise of that name if it acts now."""
    noise = getattr(module, name, None)
    return noise if noise is not None and noise.training and noise.active else None


def _causal(query: Tensor, key: Tensor) -> Tensor:
    return torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
