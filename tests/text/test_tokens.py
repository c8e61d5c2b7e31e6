"""The resident store of tokens and its batches, against slow padded versions."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rdrop_exp.text.tokens import MULTIPLE, Ragged, TokenData, padded
from tests.text.helpers import load, sentence, write, write_cola, write_parallel

SEQUENCES = st.lists(st.lists(st.integers(0, 50_000), max_size=20), min_size=1, max_size=30)


@given(SEQUENCES, st.data())
def test_gather_equals_a_slow_version(sequences: list[list[int]], data: st.DataObject) -> None:
    if not any(sequences):
        sequences = [*sequences, [7]]
    items = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=10))
    length = data.draw(st.integers(max(len(sequences[i]) for i in items), 30))
    tokens, mask = Ragged.of(sequences).gather(torch.tensor(items), length, -1)
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == [sequences[i] + [-1] * (length - len(sequences[i])) for i in items]
    assert mask.tolist() == [[column < len(sequences[i]) for column in range(length)] for i in items]


@given(st.integers(1, 500), st.integers(4, 512))
def test_padded_lengths(length: int, limit: int) -> None:
    width = int(padded(np.array([min(length, limit)]), limit)[0])
    assert min(length, limit) <= width <= limit
    assert width - min(length, limit) < MULTIPLE
    assert width == limit or width % MULTIPLE == 0


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    return torch.equal(one, other) if one is not None else other is None


KINDS: dict[str, dict[str, Any]] = {
    "class": {"name": "toy_text", "max_length": 24},
    "pair": {"name": "toy_translation", "max_length": 30},
    "language": {"name": "toy_language", "max_length": 20},
}


@pytest.fixture(scope="module", params=[(kind, tokens) for kind in KINDS for tokens in (None, 320)], ids=str)
def data(request: pytest.FixtureRequest) -> TokenData:
    kind, tokens = request.param
    return load(**KINDS[kind], optimizer={"batch_size": 16, "batch_tokens": tokens})


def test_every_item_is_trained_on_once_an_epoch(data: TokenData) -> None:
    for epoch in range(3):
        items = np.concatenate(data._train_batches(epoch)).tolist()
        assert len(set(items)) == len(items)
        left = set(data.sets["train"].tolist()) - set(items)
        assert len(left) == (0 if data.options.optimizer.batch_tokens else data.sizes["train"] % 16)
        assert len(data._train_batches(epoch)) == data.steps_per_epoch


def test_batches_with_padding_are_within_the_budget(data: TokenData) -> None:
    budget = data.options.optimizer.batch_tokens
    for batch in [*data.train(0), *data.validation()]:
        for tokens in (batch.inputs["input_ids"], batch.inputs.get("decoder_input_ids"), batch.targets):
            if tokens is None or tokens.dim() < 2:
                continue
            assert tokens.shape[1] <= data.spec.length
            assert tokens.shape[1] % MULTIPLE == 0 or tokens.shape[1] == data.spec.length
            assert not budget or tokens.numel() <= 2 * budget
    assert not budget or all(batch.inputs["input_ids"].numel() <= budget for batch in data.train(1))


@pytest.mark.parametrize("start", [0, 1, 5])
def test_resumed_at_any_step_the_batches_are_the_same(data: TokenData, start: int) -> None:
    whole, rest = list(data.train(2))[start:], list(data.train(2, start))
    assert len(whole) == len(rest) == data.steps_per_epoch - start
    for one, other in zip(whole, rest, strict=True):
        assert all(equal(a, b) for a, b in zip(one, other, strict=True))


def test_evaluation_takes_every_item_once_in_a_fixed_order(data: TokenData) -> None:
    for name in ("validation", "test"):
        order = np.concatenate(data.evaluation_batches(name))
        assert sorted(order) == sorted(data.sets[name])
        assert (np.diff(data.lengths[order]) >= 0).all()
    for one, other in zip(data.validation(), data.validation(), strict=True):
        assert all(equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_batch_equals_a_slow_version(data: TokenData) -> None:
    """Token by token, from the texts."""
    tokenizer, pad = data.spec.tokenizer, data.spec.tokenizer.pad
    items = data.sets["test"][:5]
    batch = data.batch(items)
    ids, mask = batch.inputs["input_ids"].tolist(), batch.inputs["attention_mask"].tolist()
    for row, item in enumerate(items):
        if data.spec.kind == "language":
            break
        expected = tokenizer.backend(data.texts.first[item])["input_ids"]
        if data.spec.kind == "pair":
            most = data.spec.length - 1
            expected = [*next(tokenizer.plain([data.texts.first[item]]))[:most], tokenizer.end]
            target = next(tokenizer.plain([data.texts.second[item]]))[:most]
            filled = len(target) + 1
            assert batch.inputs["decoder_input_ids"][row].tolist()[:filled] == [tokenizer.begin, *target]
            assert batch.targets[row].tolist()[:filled] == [*target, tokenizer.end]
            assert batch.mask is not None
            assert batch.mask[row].tolist() == [i < filled for i in range(batch.mask.shape[1])]
            assert torch.equal(batch.inputs["decoder_attention_mask"][row].bool(), batch.mask[row])
            assert batch.targets[row][~batch.mask[row]].eq(pad).all()
        else:
            assert batch.targets[row] == data.texts.labels[item]
        assert ids[row] == expected + [pad] * (len(ids[row]) - len(expected))
        assert sum(mask[row]) == len(expected)


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_language_blocks_cover_each_token_once_with_targets_shifted_by_one(tmp_path: Path, fraction: float) -> None:
    for name, count in (("train.txt", 30), ("valid.txt", 7), ("test.txt", 3)):
        write(tmp_path / name, [text for i in range(count) for text in (sentence(i * 31), "")])
    data = load("wikitext2", tmp_path, max_length=16, fraction=fraction)
    tokenizer = data.spec.tokenizer
    for name, file in (("train", "train.txt"), ("validation", "valid.txt"), ("test", "test.txt")):
        texts = [line for line in (tmp_path / file).read_text().splitlines() if line]
        stream = [token for ids in tokenizer.plain(texts) for token in [*ids, tokenizer.end]]
        inputs, targets = [], []
        for item in data.sets[name]:
            batch = data.batch(np.array([item]))
            assert batch.mask is not None
            inputs += batch.inputs["input_ids"][batch.mask].tolist()
            targets += batch.targets[batch.mask].tolist()
            assert torch.equal(batch.inputs["attention_mask"].bool(), batch.mask)
        whole = len(stream) - 1
        if name == "train":
            whole = round((len(stream) - 1) // 16 * fraction) * 16
            assert all(data.lengths[data.sets[name]] == 16)
        assert inputs == stream[:whole]
        assert targets == stream[1 : whole + 1]
        assert data.sizes[name] == -(-whole // 16)


def test_pairs_have_segments(tmp_path: Path) -> None:
    write(tmp_path / "labels.csv", ["text,other,label", *(f"{sentence(i)},x {i},{i % 2}" for i in range(40))])
    data = load("text_csv", tmp_path, second_column="other")
    batch = next(data.test())
    ids, segments, mask = (batch.inputs[name] for name in ("input_ids", "token_type_ids", "attention_mask"))
    assert ids.shape == segments.shape == mask.shape
    ends = (ids == data.spec.tokenizer.end).long()
    assert ends.sum(1).tolist() == [2] * len(ids)
    after_the_first = (ends.cumsum(1) - ends > 0).long() * mask
    assert torch.equal(segments, after_the_first)


def test_batch_options(tmp_path: Path) -> None:
    write_cola(tmp_path)
    limited = load("cola", tmp_path, limit=2, optimizer={"batch_size": 4})
    assert limited.steps_per_epoch == len(list(limited.train(0))) == 2
    repeated = load("cola", tmp_path, repeat_batch=True, optimizer={"batch_size": 4})
    batches = [*repeated.train(0), *repeated.train(5)]
    assert all(equal(batches[0].inputs, batch.inputs) for batch in batches)
    small = load("cola", tmp_path, optimizer={"batch_size": 1000})
    assert small.steps_per_epoch == 1
    assert len(next(small.train(0)).targets) == small.sizes["train"]
    one = dataclasses.replace(small.texts)
    assert one.sets["test"].tolist() == small.sets["test"].tolist()


def test_tokens_per_step_counts_inputs_and_targets_without_padding(tmp_path: Path) -> None:
    write_parallel(tmp_path, {"train": 40, "valid": 5, "test": 5})
    data = load("parallel", tmp_path, source="de", target="en", optimizer={"batch_size": 8})
    counted = 0
    for batch in data.train(0):
        assert batch.mask is not None
        counted += int(batch.inputs["attention_mask"].sum() + batch.mask.sum())
    assert data.tokens_per_step() == counted / data.steps_per_epoch
