"""Which items make which batch: each item once, within the budget, a function of seed and epoch alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdrop_exp.text.batches import POOL, by_items, by_tokens, cut

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=300).map(lambda each: np.asarray(each, np.int64))
SEEDS = st.integers(0, 2**40)


@given(LENGTHS, st.integers(1, 40), SEEDS, st.integers(0, 50))
def test_batches_of_items(lengths: np.ndarray, size: int, seed: int, epoch: int) -> None:
    size = min(size, len(lengths))
    batches = by_items(lengths, size, seed, epoch)
    assert [len(batch) for batch in batches] == [size] * (len(lengths) // size)
    items = np.concatenate(batches)
    assert len(set(items.tolist())) == len(items)  # only an incomplete last batch is missing
    assert set(items.tolist()) <= set(range(len(lengths)))
    again = by_items(lengths.copy(), size, seed, epoch)
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))


@given(LENGTHS, st.integers(1, 200), SEEDS, st.integers(0, 50))
def test_batches_of_tokens(lengths: np.ndarray, tokens: int, seed: int, epoch: int) -> None:
    batches = by_tokens(lengths, tokens, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or lengths[batch].max() * len(batch) <= tokens
    assert len(batches) == len(by_tokens(lengths, tokens, seed + 1, epoch + 7))
    again = by_tokens(lengths.copy(), tokens, seed, epoch)
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))
    assert _sizes(lengths, batches) == sorted(_slow_cut(sorted(lengths.tolist()), tokens))


def _sizes(lengths: np.ndarray, batches: list[np.ndarray]) -> list[list[int]]:
    return sorted(sorted(lengths[batch].tolist()) for batch in batches)


def _slow_cut(lengths: list[int], tokens: int) -> list[list[int]]:
    """Fill a batch until one more item would exceed the budget."""
    batches: list[list[int]] = []
    for length in lengths:
        if batches and length * (len(batches[-1]) + 1) <= tokens:
            batches[-1].append(length)
        else:
            batches.append([length])
    return batches


@given(LENGTHS, st.integers(1, 200))
def test_cut_equals_a_slow_version(lengths: np.ndarray, tokens: int) -> None:
    order = np.argsort(lengths, kind="stable")
    pieces = cut(order, lengths, tokens)
    assert [lengths[piece].tolist() for piece in pieces] == _slow_cut(sorted(lengths.tolist()), tokens)
    assert np.concatenate(pieces).tolist() == order.tolist()


def test_similar_lengths_share_a_batch() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 2 * POOL * 16)
    spread = np.mean([np.ptp(lengths[batch]) for batch in by_items(lengths, 16, 0, 0)])
    assert spread < 10  # of 16 random items it is about 88


@pytest.mark.parametrize("make", [by_items, by_tokens])
def test_epochs_and_seeds_differ(make) -> None:  # type: ignore[no-untyped-def]
    lengths = np.repeat(np.arange(8, 32, 8), 100)
    first, *others = ([batch.tolist() for batch in make(lengths, 40, *key)] for key in ((0, 0), (0, 1), (1, 0)))
    for other in others:
        assert first != other
        assert sorted(map(sorted, first)) != sorted(map(sorted, other))  # not only the order of batches


def test_the_order_is_pinned() -> None:
    """A resumed trial and one on another machine see the same batches."""
    lengths = np.arange(12) % 5 + 1
    assert [batch.tolist() for batch in by_items(lengths, 4, 3, 2)] == [[5, 10, 0, 11], [1, 6, 2, 7], [3, 8, 9, 4]]
    assert [batch.tolist() for batch in by_tokens(lengths, 8, 3, 2)] == [
        [4],
        [3, 8],
        [1, 6],
        [5, 10, 0, 11],
        [9],
        [2, 7],
    ]
