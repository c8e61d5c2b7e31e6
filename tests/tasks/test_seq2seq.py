"""Translation and summarization: generation against a search by hand, scores of a set, and a model that learns."""

import importlib.util
import json
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Generate, Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.models.generation import generate
from rdrop_exp.tasks import metrics
from rdrop_exp.tasks.choose import task_of
from rdrop_exp.tasks.token_meters import GenerationMeter
from rdrop_exp.text.readers import read
from rdrop_exp.text.tokens import TokenData
from rdrop_exp.train import trial
from rdrop_exp.train.evaluate import evaluate
from tests.conftest import folder_of, merged

CPU = torch.device("cpu")
OPTIONS: dict[str, Any] = {
    "model": {
        "name": "marian",
        "args": {
            "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
            "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64,
            "init_std": 1.0, "tie_word_embeddings": False,  # outputs that depend on the input without training
        },
    },
    "dataset": {"name": "toy_translation", "vocabulary_size": 320, "max_length": 48, "limit": 2},
    "optimizer": {"batch_size": 8, "lr": 1e-2},
    "schedule": {"epochs": 1},
    "regularizer": {"dropout": 0.1},
    "generate": {"max_length": 10},
    "logger": {"wandb": "disabled", "progress": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def network(options: Options, data: TokenData) -> Any:
    torch.manual_seed(0)
    return task_of(options).build(options, data.spec, CPU)[0].eval()


def until_end(row: list[int], end: int) -> list[int]:
    return row[: row.index(end)] if end in row else row


@torch.no_grad()
def greedy(network: Any, data: TokenData, item: int, most: int) -> list[int]:
    """The most likely token at each step, by the whole forward of one item without padding or cache."""
    tokenizer, store = data.spec.tokenizer, data.stores["input"]
    start, length = int(store.starts[item]), int(store.lengths[item])
    source = store.flat[start : start + length].long()[None]
    found = [network.config.decoder_start_token_id]
    for _ in range(most):
        logits = network.model(input_ids=source, decoder_input_ids=torch.tensor([found]), use_cache=False).logits
        found.append(int(logits[0, -1].argmax()))
        if found[-1] == tokenizer.end:
            break
    return until_end(found[1:], tokenizer.end)


def test_greedy_search_is_the_argmax_at_every_step(data: TokenData, network: Any) -> None:
    items = data.evaluation_batches("test")[-1]
    lengths = data.stores["input"].lengths[items]
    assert lengths.min() < lengths.max(), "some items are padded"
    found = generate(network, data.batch(items).inputs, Generate(beams=1, max_length=12), data.spec.tokenizer)
    rows = [until_end(row, data.spec.tokenizer.end) for row in found.tolist()]
    assert rows == [greedy(network, data, int(item), 12) for item in items]
    assert len({tuple(row) for row in rows}) > 1


def test_a_batch_changes_no_output_of_a_beam_search(data: TokenData, network: Any) -> None:
    items, tokenizer, options = data.evaluation_batches("test")[-1][-6:], data.spec.tokenizer, Generate(max_length=12)
    together = generate(network, data.batch(items).inputs, options, tokenizer)
    again = generate(network, data.batch(items).inputs, options, tokenizer)
    assert torch.equal(together, again)
    alone = [generate(network, data.batch(items[i : i + 1]).inputs, options, tokenizer)[0] for i in range(6)]
    for a, b in zip(together.tolist(), alone, strict=True):
        assert until_end(a, tokenizer.end) == until_end(b.tolist(), tokenizer.end)


@torch.no_grad()
def log_p(network: Any, inputs: dict[str, Tensor], begun: Tensor) -> Tensor:
    """Log-probabilities of the next token after (batch, length) tokens: (batch, vocabulary)."""
    begin = torch.full_like(begun[:, :1], network.config.decoder_start_token_id)
    logits = network.model(**inputs, decoder_input_ids=torch.cat([begin, begun], 1), use_cache=False).logits
    return F.log_softmax(logits[:, -1].double(), -1)


def test_a_search_as_wide_as_the_vocabulary_finds_the_most_likely_output(options: Options, data: TokenData) -> None:
    """Of two tokens without an end, so that all outputs compare."""
    torch.manual_seed(1)
    network: Any = task_of(options).build(options, data.spec, CPU)[0].eval()
    network.model.lm_head.weight.data *= 0.2  # probabilities so even that the likeliest first token may be wrong
    tokenizer, two = data.spec.tokenizer, {"max_length": 2, "min_length": 2}
    words = torch.tensor([i for i in range(tokenizer.size) if i != tokenizer.end])
    differs = False
    for item in data.evaluation_batches("test")[-1][:4]:
        batch = data.batch(np.asarray([item]))
        inputs = {name: batch.inputs[name].expand(len(words), -1) for name in ("input_ids", "attention_mask")}
        first = log_p(network, inputs, words[:, None])  # after each word
        start = torch.full((1, 1), network.config.decoder_start_token_id)
        one = {name: tensor[:1] for name, tensor in inputs.items()}
        with torch.no_grad():
            logits = network.model(**one, decoder_input_ids=start, use_cache=False).logits[0, 0]
        total = F.log_softmax(logits.double(), -1)[words][:, None] + first[:, words]
        best = [int(words[i]) for i in divmod(int(total.argmax()), len(words))]
        wide = generate(network, one, Generate(beams=len(words), **two), tokenizer)[0].tolist()
        assert wide == best
        differs |= generate(network, one, Generate(beams=1, **two), tokenizer)[0].tolist() != best
    assert differs, "greedy search is not enough for some of them"


def test_limits_of_length_and_repeated_sequences(data: TokenData, network: Any) -> None:
    batch, end = data.batch(data.evaluation_batches("test")[0]), data.spec.tokenizer.end

    def outputs(**values: Any) -> list[list[int]]:
        found = generate(network, batch.inputs, Generate(**values), data.spec.tokenizer)
        return [until_end(row, end) for row in found.tolist()]

    assert max(map(len, outputs(max_length=5))) <= 5
    assert {len(row) for row in outputs(max_length=9, min_length=9)} == {9}
    free, bound = (outputs(beams=1, max_length=20, min_length=20, no_repeat=n) for n in (0, 2))
    pairs = [[tuple(row[i : i + 2]) for i in range(19)] for row in free]
    assert any(len(set(each)) < 19 for each in pairs)
    assert all(len({tuple(row[i : i + 2]) for i in range(19)}) == 19 for row in bound)


def test_settings_that_a_model_brings_along_do_not_act(data: TokenData, network: Any) -> None:
    inputs, tokenizer = data.batch(data.evaluation_batches("test")[0]).inputs, data.spec.tokenizer
    options = Generate(beams=2, max_length=8)
    expected = generate(network, inputs, options, tokenizer)
    network.model.generation_config.update(forced_bos_token_id=7, no_repeat_ngram_size=1, max_length=3)
    assert torch.equal(generate(network, inputs, options, tokenizer), expected)


@pytest.mark.parametrize("prefix", ["val", "test"])
def test_scores_and_items_in_the_order_of_the_set(options: Options, data: TokenData, network: Any, prefix: str) -> None:
    meter = task_of(options).meter(options, data, prefix)
    assert isinstance(meter, GenerationMeter)
    name = {"val": "validation", "test": "test"}[prefix]
    row, items = evaluate(network, map(data.batch, data.evaluation_batches(name)), nullcontext, meter)

    hypotheses, references, total, tokens = [], [], 0.0, 0
    evaluated = set(np.concatenate(data.evaluation_batches(name)).tolist())
    assert len(evaluated) == 32  # sorted by length; `limit` leaves out the others
    for i in (i for i in data.sets[name].tolist() if i in evaluated):
        batch = data.batch(np.asarray([i]))
        hypotheses += data.spec.tokenizer.decode(
            generate(network, batch.inputs, options.generate, data.spec.tokenizer).tolist()
        )
        references.append(data.texts.second[i])
        with torch.no_grad():
            logits = network(batch.inputs)[batch.mask]
        total += F.cross_entropy(logits.double(), batch.targets[batch.mask], reduction="sum").item()
        tokens += len(logits)
    assert meter.texts == (hypotheses, references)
    assert row[f"{prefix}/bleu"] == metrics.bleu_of(hypotheses, references)[0]
    assert row[f"{prefix}/loss"] == pytest.approx(total / tokens, rel=1e-5)
    assert np.array_equal(items.numpy(), metrics.sentence_bleu(hypotheses, references))


def test_summaries_are_scored_by_rouge(tmp_path: Path) -> None:
    for part, count in (("train", 8), ("val", 3), ("test", 5)):
        rows = [{"document": f"the cat number {i} sat on a mat", "summary": f"cat {i} sat"} for i in range(count)]
        (tmp_path / f"{part}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = {"name": "summaries", "root": str(tmp_path), "source": "document", "target": "summary"}
    o = from_dict(merged(OPTIONS, {"dataset": dataset, "generate": {"max_length": 4}, "optimizer": {"batch_size": 2}}))
    task = task_of(o)
    data = task.load(o, CPU)
    network = task.build(o, data.spec, CPU)[0]
    meter = task.meter(o, data, "test")
    assert isinstance(meter, GenerationMeter)
    row, items = evaluate(network, data.test(), nullcontext, meter)
    expected = metrics.rouge_items(*meter.texts)
    assert task.metric == "rougeL"
    assert row.keys() == {"test/loss", "test/perplexity", "test/rouge1", "test/rouge2", "test/rougeL"}
    assert all(row[f"test/{name}"] == pytest.approx(values.mean()) for name, values in expected.items())
    assert items.tolist() == expected["rougeL"].tolist()


@pytest.mark.parametrize(
    ("values", "words"),
    [({"max_length": 65}, "generate.max_length=65.*64"), ({"min_length": 11}, "generate.min_length=11.*10")],
)
def test_limits_that_do_not_fit_are_refused(data: TokenData, values: dict[str, int], words: str) -> None:
    o = from_dict(merged(OPTIONS, {"generate": values}))
    with pytest.raises(OptionError, match=words):
        task_of(o).build(o, data.spec, CPU)


def test_scores_in_validation_leave_training_as_it_is(tmp_path: Path) -> None:
    found = {}
    for validate in ("loss", "metric"):
        values = {"output_dir": str(tmp_path), "validate": validate, "select": "last", "schedule": {"epochs": 2}}
        o = from_dict(merged(OPTIONS, values, {"generate": {"max_length": 6}}))
        result = trial.run(o)
        assert result is not None
        assert "nrefs:1" in result["metric"]["signature"]
        rows = [json.loads(line) for line in (folder_of(o) / "metrics.jsonl").read_text().splitlines()]
        assert ["val/bleu" in row for row in rows if "val/loss" in row] == [validate == "metric"] * 2
        weights = torch.load(folder_of(o) / "checkpoint.pt", weights_only=True)["model"]
        found[validate] = result["metrics"], weights, [(row["train/loss"], row["val/loss"]) for row in rows]
    assert found["loss"][0] == found["metric"][0]  # also val/bleu: the chosen weights are scored at the end
    assert found["loss"][2] == found["metric"][2]
    torch.testing.assert_close(found["loss"][1], found["metric"][1], rtol=0, atol=0)


def test_a_missing_scorer_is_named_before_training(data: TokenData, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "sacrebleu" else found(name, *a))
    o = from_dict(OPTIONS)
    with pytest.raises(OptionError, match=r"sacrebleu.*rdrop-exp\[text\]"):
        task_of(o).build(o, data.spec, CPU)


@pytest.mark.slow
def test_a_small_transformer_learns_to_translate(tmp_path: Path) -> None:
    """Far above what the words' frequencies alone can give, and above any sentence for all."""
    model = {
        "d_model": 32, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64, "init_std": 32**-0.5, "scale_embedding": True,
    }  # fmt: skip
    values = {
        "output_dir": str(tmp_path),
        "model": {"args": OPTIONS["model"]["args"] | model},
        "dataset": {"vocabulary_size": 500, "limit": None},
        "schedule": {"steps": 500, "warmup_steps": 50},
        "optimizer": {"batch_size": 32, "lr": 5e-3},
        "regularizer": {"dropout": 0.0},
        "generate": {"beams": 1, "max_length": 40},
        "validate": "loss",
    }
    o = from_dict(merged(OPTIONS, values))
    result = trial.run(o)
    assert result is not None
    texts = read(o.dataset)
    train, test = ([texts.second[i] for i in texts.sets[part]] for part in ("train", "test"))
    words = [word for word, _ in Counter(" ".join(train).split()).most_common(20)]
    constants = [*(" ".join(words[:n]) for n in range(4, 20)), *train[:100]]
    baseline = max(metrics.bleu_of([text] * len(test), test)[0] for text in constants)
    assert result["metrics"]["test/bleu"] > 2 * baseline + 20
