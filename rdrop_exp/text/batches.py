"""Which items make which batch: functions of lengths, seed and epoch alone, so that any step can be resumed."""

import numpy as np
from numpy.typing import NDArray

from rdrop_exp.seeds import derive_seed

Ints = NDArray[np.int64]

POOL = 32
"""Batches whose items are sorted by length together: padding falls, and every batch still mixes the whole set."""


def by_items(lengths: Ints, size: int, seed: int, epoch: int) -> list[Ints]:
    """Shuffled batches of `size` positions, of similar length; an incomplete last batch is dropped."""
    random = _random(seed, epoch)
    order = random.permutation(len(lengths))[: len(lengths) // size * size]
    pools = (order[i : i + POOL * size] for i in range(0, len(order), POOL * size))
    batches = [part for pool in pools for part in pool[np.argsort(lengths[pool], kind="stable")].reshape(-1, size)]
    return [batches[i] for i in random.permutation(len(batches))]


def by_tokens(lengths: Ints, tokens: int, seed: int, epoch: int) -> list[Ints]:
    """Shuffled batches of at most `tokens` tokens with padding (a longer item is a batch alone).

    Items are sorted by their padded length and cut; only items of equal length change places between epochs, so every
    epoch has the same number of batches.
    """
    random = _random(seed, epoch)
    shuffled = random.permutation(len(lengths))
    order = shuffled[np.argsort(lengths[shuffled], kind="stable")]
    batches = cut(order, lengths, tokens)
    return [batches[i] for i in random.permutation(len(batches))]


def cut(order: Ints, lengths: Ints, tokens: int) -> list[Ints]:
    """`order`, which rises in length, in pieces whose longest item times their number is at most `tokens`."""
    pieces, start, sizes = [], 0, lengths[order].tolist()
    for end in range(1, len(sizes) + 1):
        if end == len(sizes) or sizes[end] * (end + 1 - start) > tokens:
            pieces.append(order[start:end])
            start = end
    return pieces


def _random(seed: int, epoch: int) -> np.random.RandomState:
    """numpy's legacy generator: its stream is frozen, so the order is the same in every version of numpy."""
    return np.random.RandomState(derive_seed(seed, "order", epoch) % 2**32)
