"""A text data set, tokenized once and held on the device."""

import dataclasses
import hashlib
import io
import logging
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.console import status
from rdrop_exp.data import cache
from rdrop_exp.text.readers import read
from rdrop_exp.text.texts import Texts
from rdrop_exp.text.tokenizers import Tokenizer, make_tokenizer
from rdrop_exp.text.tokens import Ragged, TextSpec, TokenData

log = logging.getLogger(__name__)

Arrays = dict[str, NDArray[np.int64]]


def load_text(options: Options, device: torch.device) -> TokenData:
    """The data set that the options name; `OptionError` where its files or the tokenizer do not fit."""
    d = options.dataset
    texts = read(d)
    with status(f"tokenizing {len(texts.first):,} texts"):
        tokenizer = make_tokenizer(options, _training_text(texts))
        name = _key(texts, tokenizer, d.max_length)
        arrays = cached(name, lambda: _encoded(texts, tokenizer, d.max_length))
    long = int(arrays.pop("long")[0])
    if long and d.too_long == "error":
        raise OptionError(
            f"dataset.max_length={d.max_length}: {long:,} of {len(texts.first):,} texts are longer; raise it, or set"
            " dataset.too_long=truncate"
        )
    names = dict.fromkeys(key.partition(".")[0] for key in arrays)
    stores = {
        name: Ragged(arrays[f"{name}.flat"].astype(np.int32), arrays[f"{name}.starts"], arrays[f"{name}.lengths"])
        for name in names
    }
    if texts.kind == "language":
        texts, stores = _blocks(texts, stores["input"], tokenizer, d.max_length, d.fraction)
    tokens = sum(int(store.lengths.sum()) for store in stores.values())
    note = f"{tokens:,} tokens, vocabulary of {tokenizer.size:,} ({tokenizer.kind})"
    note += f", {long:,} texts cut to {d.max_length} tokens" if long and texts.kind != "language" else ""
    classes = 1 if texts.kind == "value" else len(texts.classes)
    spec = TextSpec(texts.kind, classes, tokenizer, d.max_length)
    return TokenData(texts, spec, stores, options, device, note)


def _training_text(texts: Texts) -> Iterable[str]:
    for i in texts.sets["train"]:
        yield texts.first[i]
        if texts.second:
            yield texts.second[i]


def _encoded(texts: Texts, tokenizer: Tokenizer, limit: int) -> Arrays:
    """Flat token ids with starts and lengths of "input", and where the task has them, "segment" and "target"."""
    sequences, long = {}, 0
    if texts.kind == "language":
        sequences["input"] = tokenizer.plain(texts.first)
    elif texts.kind == "pair":
        source, target = tokenizer.plain(texts.first), tokenizer.plain(texts.second)
        long = sum(len(ids) >= limit for ids in source) + sum(len(ids) >= limit for ids in target)
        sequences["input"] = [[*ids[: limit - 1], tokenizer.end] for ids in source]
        sequences["target"] = [[tokenizer.begin, *ids[: limit - 1], tokenizer.end] for ids in target]
    else:
        sequences["input"], segments, long = tokenizer.encode(texts.first, texts.second, limit)
        if texts.second:
            sequences["segment"] = segments
    arrays: Arrays = {"long": np.asarray([long])}
    for name, ids in sequences.items():
        store = Ragged.of(ids)
        arrays |= {f"{name}.flat": store.flat.numpy(), f"{name}.lengths": store.lengths}  # type: ignore[dict-item]
        arrays[f"{name}.starts"] = store.starts.numpy()
    return arrays


def _blocks(
    texts: Texts, store: Ragged, tokenizer: Tokenizer, size: int, fraction: float
) -> tuple[Texts, dict[str, Ragged]]:
    """Each set's paragraphs as one stream, an end token after each, in blocks of `size` tokens and the one to predict.

    The last block of the training set is dropped where it is incomplete.
    """
    flats: list[NDArray[np.int32]] = []
    starts: list[NDArray[np.int64]] = []
    lengths: list[NDArray[np.int64]] = []
    sets, offset, count = {}, 0, 0
    flat = store.flat.numpy()
    ends = store.starts.numpy() + store.lengths
    for name, items in texts.sets.items():
        pieces = [np.append(flat[start:end], tokenizer.end) for start, end in _spans(store, ends, items)]
        stream = np.concatenate(pieces).astype(np.int32)
        begins = np.arange(0, len(stream) - 1, size)
        each = np.minimum(size + 1, len(stream) - begins)
        if name == "train":
            begins, each = begins[each == size + 1], each[each == size + 1]
            kept = max(1, round(fraction * len(begins)))
            begins, each = begins[:kept], each[:kept]
            if not len(begins):
                raise OptionError(f"dataset.max_length={size} is longer than the training text ({len(stream)} tokens)")
        flats.append(stream)
        starts.append(begins + offset)
        lengths.append(each)
        sets[name] = np.arange(count, count + len(begins))
        offset, count = offset + len(stream), count + len(begins)
    blocks = Ragged(np.concatenate(flats), np.concatenate(starts), np.concatenate(lengths))
    return dataclasses.replace(texts, sets=sets), {"input": blocks}


def _spans(store: Ragged, ends: NDArray[np.int64], items: NDArray[np.int64]) -> Iterable[tuple[int, int]]:
    return zip(store.starts.numpy()[items], ends[items], strict=True)


def _key(texts: Texts, tokenizer: Tokenizer, limit: int) -> str:
    digest = hashlib.blake2b(f"{texts.kind} {limit} {tokenizer.fingerprint()}".encode(errors="replace"), digest_size=16)
    for part in (texts.first, texts.second):
        digest.update("\0".join(part).encode(errors="replace") + b"\1")
    return digest.hexdigest()


def cached(name: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays cached under `name`, or else those of `make`; an unusable cache is only a warning."""
    path = cache.folder() / f"tokens-{name}.npz"
    with cache.locked(path.with_suffix(".lock")):
        if path.exists():
            try:
                with np.load(path) as file:
                    return dict(file)
            except (OSError, ValueError, EOFError, KeyError) as error:
                log.warning("Cannot read cached tokens %s, tokenizing again: %s", path, error)
        arrays = make()
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        try:
            cache.write(path, lambda file: file.write(buffer.getvalue()))
        except OSError as error:
            log.warning("Cannot cache tokens in %s: %s", path, error)
        return arrays
