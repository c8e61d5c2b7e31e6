"""Which items gradients are measured on: independent mini-batches, and the whole training set, of a trial's own data.

An epoch draws batches without replacement, so the mean over an epoch equals the whole set by construction. Bias and
variance of a mini-batch gradient need independent batches: each one here is its own sample of the whole set.
"""

import math
from collections.abc import Iterator

import torch

from rdrop_exp.config.options import Options
from rdrop_exp.data.batch import Batch, Data
from rdrop_exp.seeds import derive_seed


def batch_size(data: Data, wanted: int | None) -> int:
    """Items in a measured mini-batch: `wanted`, or the trial's own; at most the whole set."""
    return min(wanted or data.batch_size, data.sizes["train"])


def mini_batches(o: Options, data: Data, count: int, size: int, number: int, augment: bool) -> Iterator[Batch]:
    """`count` independent batches of `size` distinct items each, augmented as in training or not at all.

    They depend on the trial's seed and `number` alone, not on the regularizer, so trials can be paired.
    """
    items = data.train_items
    generators = (torch.Generator().manual_seed(derive_seed(o.seed, "analysis", number, i)) for i in range(count))
    batches = [items[torch.randperm(len(items), generator=generator)[:size]] for generator in generators]
    return data.given(batches, number if augment else None)


def whole_set(o: Options, data: Data, size: int) -> Iterator[Batch]:
    """Every training item once, unaugmented, in even batches of at most `size`.

    With `dataset.limit`, as many of these batches as an epoch has.
    """
    items = data.train_items
    return data.given(list(torch.tensor_split(items, math.ceil(len(items) / size)))[: o.dataset.limit], None)
