"""A text data set, tokenized once and held on the device."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.console import status
from rdrop_exp.data import cache
from rdrop_exp.data.listing import counted
from rdrop_exp.text.readers import read
from rdrop_exp.text.texts import Texts
from rdrop_exp.text.tokenizers import Tokenizer, make_tokenizer
from rdrop_exp.text.tokens import Ragged, TextSpec, TokenData

Arrays = dict[str, NDArray[Any]]


def load_text(options: Options, device: torch.device) -> TokenData:
    """The data set that the options name; `OptionError` where its files or the tokenizer do not fit."""
    d = options.dataset
    texts = read(d)
    with status(f"tokenizing {len(texts.first):,} texts"):
        tokenizer = make_tokenizer(options, _training_text(texts))
        arrays = _tokens(texts, tokenizer, d.max_length)
    long = arrays.pop("long")
    if len(long) and d.too_long == "error":
        raise OptionError(
            f"dataset.max_length={d.max_length} is too short for {counted(len(long), 'item')}, the first in"
            f" {texts.where(int(long[0]))}; raise it, or set dataset.too_long=truncate"
        )
    names = dict.fromkeys(key.partition(".")[0] for key in arrays)
    stores = {name: Ragged(arrays[f"{name}.flat"], arrays[f"{name}.lengths"]) for name in names}
    if texts.kind == "language":
        texts, stores = _blocks(texts, stores["input"], tokenizer, d.max_length, d.fraction)
    tokens = sum(int(store.lengths.sum()) for name, store in stores.items() if name != "segment")
    note = f"{tokens:,} tokens, vocabulary of {tokenizer.size:,} ({tokenizer.kind})"
    note += f", {len(long):,} items cut to {d.max_length} tokens" if len(long) else ""
    classes = 1 if texts.kind == "value" else len(texts.classes)
    spec = TextSpec(texts.kind, classes, tokenizer, d.max_length)
    return TokenData(texts, spec, stores, options, device, note)


def _training_text(texts: Texts) -> list[str]:
    items = texts.sets["train"].tolist()
    return [text for part in (texts.first, texts.second) if part for text in map(part.__getitem__, items)]


def _tokens(texts: Texts, tokenizer: Tokenizer, limit: int) -> Arrays:
    """As `_encoded`, cached by texts and tokenizer."""
    key = cache.of_texts([texts.kind, str(limit), tokenizer.fingerprint()], texts.first, texts.second)
    return cache.cached(
        f"tokens-{key}.npz",
        "tokens",
        _read,
        lambda: _encoded(texts, tokenizer, limit),
        lambda file, arrays: np.savez(file, allow_pickle=False, **arrays),
    )


def _read(path: Path) -> Arrays:
    with open(path, "rb") as file:  # numpy leaves it open where it is no zip file
        return dict(np.load(file))


def _encoded(texts: Texts, tokenizer: Tokenizer, limit: int) -> Arrays:
    """Flat token ids and lengths of "input", and where the task has them, "segment" and "target"; what is too long.

    {"input.flat": (tokens,) int32, "input.lengths": (items,) int64, …, "long": positions of items that are cut}
    """
    long: set[int] = set()

    def cut(side: list[str], *begin: int) -> Iterator[list[int]]:
        for i, ids in enumerate(tokenizer.plain(side)):
            if len(ids) >= limit:
                long.add(i)
            yield [*begin, *ids[: limit - 1], tokenizer.end]

    if texts.kind == "language":
        stores = {"input": Ragged.of(tokenizer.plain(texts.first))}
    elif texts.kind == "pair":
        stores = {"input": Ragged.of(cut(texts.first)), "target": Ragged.of(cut(texts.second, tokenizer.begin))}
    else:
        ids, segments, cuts = tokenizer.encode(texts.first, texts.second, limit)
        stores = {"input": Ragged.of(ids)} | ({"segment": Ragged.of(segments)} if texts.second else {})
        long.update(cuts)
    arrays: Arrays = {"long": np.asarray(sorted(long), np.int64)}
    for name, store in stores.items():
        arrays |= {f"{name}.flat": store.flat.numpy(), f"{name}.lengths": store.lengths}
    return arrays


def _blocks(
    texts: Texts, store: Ragged, tokenizer: Tokenizer, size: int, fraction: float
) -> tuple[Texts, dict[str, Ragged]]:
    """Each set's paragraphs as one stream, an end token after each, in blocks of `size` tokens and the one to predict.

    Neighbouring blocks share that token. The last block of the training set is dropped where it is incomplete.
    """
    flats: list[NDArray[np.int32]] = []
    starts: list[NDArray[np.int64]] = []
    lengths: list[NDArray[np.int64]] = []
    sets, offset, count = {}, 0, 0
    flat, ends = store.flat.numpy(), np.cumsum(store.lengths)
    for name, items in texts.sets.items():  # each holds the paragraphs of a file, in order
        first, last = items[0], items[-1]
        part = flat[ends[first] - store.lengths[first] : ends[last]]
        stream = np.insert(part, np.cumsum(store.lengths[items]), tokenizer.end).astype(np.int32)
        begins = np.arange(0, len(stream) - 1, size)
        each = np.minimum(size + 1, len(stream) - begins)
        if name == "train":
            complete = int((each == size + 1).sum())
            if not complete:
                raise OptionError(f"dataset.max_length={size} is longer than the training text ({len(stream)} tokens)")
            begins, each = (x[: max(1, round(fraction * complete))] for x in (begins, each))
        flats.append(stream)
        starts.append(begins + offset)
        lengths.append(each)
        sets[name] = np.arange(count, count + len(begins))
        offset, count = offset + len(stream), count + len(begins)
    blocks = Ragged(np.concatenate(flats), np.concatenate(lengths), np.concatenate(starts))
    return dataclasses.replace(texts, sets=sets), {"input": blocks}
