"""Language modelling: perplexity against a model and a stream put together by hand."""

import math
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.tasks.choose import task_of
from rdrop_exp.text.readers import read
from rdrop_exp.text.tokens import TokenData
from rdrop_exp.train.evaluate import evaluate
from tests.conftest import merged

CPU = torch.device("cpu")
OPTIONS: dict[str, Any] = {
    "model": {"name": "gpt2", "args": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}},
    "dataset": {"name": "toy_language", "vocabulary_size": 320, "max_length": 24},
    "optimizer": {"batch_size": 7},
    "regularizer": {"dropout": 0.1},
}


@pytest.fixture(scope="module")
def network(options: Options, data: TokenData) -> Any:
    torch.manual_seed(0)
    network: Any = task_of(options).build(options, data.spec, CPU)[0]
    nn.init.normal_(network.model.transformer.wte.weight)  # losses that differ between tokens
    return network


def stream(data: TokenData, part: str) -> list[int]:
    """All paragraphs of a set, an end token after each."""
    texts, tokenizer = read(data.options.dataset), data.spec.tokenizer
    paragraphs = [texts.first[i] for i in texts.sets[part]]
    return [token for ids in tokenizer.plain(paragraphs) for token in (*ids, tokenizer.end)]


@torch.no_grad()
def losses_of_blocks(network: Any, tokens: list[int], size: int) -> list[torch.Tensor]:
    """Each block alone, without padding: its first token follows the last of the block before, which predicts it."""
    found = []
    for start in range(0, len(tokens) - 1, size):
        block = torch.tensor(tokens[start : start + size + 1])
        logits = network.model(input_ids=block[None, :-1]).logits[0]
        found.append(F.cross_entropy(logits.double(), block[1:], reduction="none"))
    return found


@pytest.mark.parametrize(("prefix", "part"), [("val", "validation"), ("test", "test")])
def test_perplexity_is_that_of_all_tokens(
    options: Options, data: TokenData, network: Any, prefix: str, part: str
) -> None:
    meter = task_of(options).meter(options, data, prefix)
    batches = data.validation() if part == "validation" else data.test()
    row, items = evaluate(network, batches, nullcontext, meter)

    tokens = stream(data, part)
    assert (len(tokens) - 1) % 24, "the last block is shorter, so that padding is at work"
    blocks = losses_of_blocks(network.eval(), tokens, 24)
    loss = torch.cat(blocks).mean().item()
    assert sum(map(len, blocks)) == len(tokens) - 1  # every token but the first is predicted once
    assert row == pytest.approx({f"{prefix}/loss": loss, f"{prefix}/perplexity": math.exp(loss)}, rel=1e-5)
    assert items.tolist() == pytest.approx([block.mean().item() for block in blocks], rel=1e-4)


def test_equal_logits_have_the_vocabulary_as_perplexity(options: Options, data: TokenData, network: Any) -> None:
    even: Any = task_of(options).build(options, data.spec, CPU)[0]
    nn.init.zeros_(even.model.transformer.wte.weight)
    row, _ = evaluate(even, data.test(), nullcontext, task_of(options).meter(options, data, "test"))
    assert row["test/perplexity"] == pytest.approx(data.spec.tokenizer.size, rel=1e-5)


def test_evaluation_does_not_smooth_labels(options: Options, data: TokenData, network: Any) -> None:
    smoothed = from_dict(merged(OPTIONS, {"dataset": {"label_smoothing": 0.3}}))
    rows = [
        evaluate(network, data.test(), nullcontext, task_of(o).meter(o, data, "test"))[0] for o in (options, smoothed)
    ]
    assert rows[0] == rows[1]


def test_lower_perplexity_is_selected(options: Options) -> None:
    assert task_of(options).selection(options) == ("perplexity", False)
    by_loss = from_dict(merged(OPTIONS, {"validate": "loss"}))
    assert task_of(by_loss).selection(by_loss) == ("loss", False)
