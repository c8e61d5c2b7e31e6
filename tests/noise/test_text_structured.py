"""Keys and heads of transformers models: dropped as in slow attention, and nothing hidden becomes visible."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.config.schema import OptionError
from rdrop_exp.noise.install import InstalledNoise, install_noise
from rdrop_exp.noise.layers import Dropout
from rdrop_exp.noise.structured import DropKey, HeadDropout
from rdrop_exp.noise.text_attention import HEADS, KEYS, NOISE, attention
from tests.noise.text_architectures import CASES, build, tokens


@pytest.mark.parametrize("masked", ["none", "causal", "padding"])
@pytest.mark.parametrize("dropout", [False, True])
def test_attention_without_keys_and_heads_is_its_slow_version(masked: str, dropout: bool) -> None:
    torch.manual_seed(0)
    module = nn.Module()
    vars(module).update(is_causal=masked == "causal", num_key_value_groups=2)
    layers = [DropKey(0.5), HeadDropout(0.5)]
    setattr(module, KEYS, layers[0])
    setattr(module, HEADS, layers[1])
    if dropout:  # at as good as no rate, for the way that is not fused
        layers.append(Dropout(1e-9))
        setattr(module, NOISE, layers[2])
    InstalledNoise(layers).set_rates(1.0)
    drawn: list[Tensor] = []
    for layer in layers[:2]:
        layer.register_forward_hook(lambda m, a, y: drawn.append(y))
    q, k, v = (torch.randn(3, heads, 5, 4) for heads in (4, 2, 2))
    visible = torch.ones(3, 5, 5, dtype=torch.bool)
    if masked == "causal":
        visible = visible.tril()
    if masked == "padding":
        visible[1, :, 3:] = False
    y, _ = attention(module.train(), q, k, v, visible.unsqueeze(1) if masked == "padding" else None)
    assert len(drawn) == 2
    before = torch.zeros(3, 5, 4, 4)
    for row in range(3):
        for head in range(4):
            for query in range(5):
                keys = [i for i in range(5) if visible[row, query, i] and drawn[0][row, head, query, i]]
                keys = keys or [i for i in range(5) if visible[row, query, i]]
                scores = torch.stack([q[row, head, query] @ k[row, head // 2, i] / 2 for i in keys])
                values = torch.stack([v[row, head // 2, i] for i in keys])
                before[row, query, head] = scores.softmax(0) @ values
    alive = y.abs().sum((1, 3)) > 0
    assert alive.any(1).all()
    assert not alive.all()
    expected = before * alive[:, None, :, None] * 4 / alive.sum(1)[:, None, None, None]
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["BERT", "GPT-2", "Llama", "BART", "T5"])
@torch.no_grad()
def test_it_acts_in_every_layer_and_shows_nothing_that_is_hidden(family: str) -> None:
    torch.manual_seed(0)
    network = build(family)
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    noise = install_noise(network, Regularizer(drop_key=0.4, head_dropout=0.4))
    called: set[nn.Module] = set()
    for layer in noise.layers:
        layer.register_forward_hook(lambda m, a, y: called.add(m))
    inputs = tokens(CASES[family][1])
    noise.set_rates(1.0)
    network.train()

    def logits(changed: dict[str, Any]) -> Tensor:
        torch.manual_seed(1)
        outputs: Tensor = network(changed)
        return outputs

    first = logits(inputs)
    assert called == set(noise.layers)
    hidden = inputs["attention_mask"] == 0
    assert hidden.any() or CASES[family][1] == "language"
    other = {**inputs, "input_ids": inputs["input_ids"].masked_fill(hidden, 7)}
    torch.testing.assert_close(logits(other), first, rtol=1e-4, atol=1e-5)
    if CASES[family][1] == "language":
        later = inputs["input_ids"].clone()
        later[:, -1] = 9
        torch.testing.assert_close(logits({**inputs, "input_ids": later})[:, :-1], first[:, :-1])
    noise.set_rates(0.0)
    assert not torch.allclose(logits(inputs), first, rtol=1e-3, atol=1e-3)


def test_attention_of_their_own_is_refused() -> None:
    with pytest.raises(OptionError, match=r"^regularizer.drop_key=0.1: this .* has no attention"):
        install_noise(build("DeBERTa"), Regularizer(drop_key=0.1))
