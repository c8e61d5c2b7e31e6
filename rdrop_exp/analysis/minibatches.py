"""Which items gradients are measured on: independent mini-batches, and the whole training set, of a trial's own data.

An epoch draws batches without replacement, so the mean over an epoch equals the whole set by construction. Bias and
variance of a mini-batch gradient need independent batches: each one here is its own sample of the whole set.
"""

import copy
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from rdrop_exp.config.options import Options
from rdrop_exp.data.batch import Batch, Data
from rdrop_exp.data.sampler import EpochSampler, Key
from rdrop_exp.seeds import derive_seed
from rdrop_exp.text.tokens import TokenData

if TYPE_CHECKING:
    from rdrop_exp.data.resident import Resident
    from rdrop_exp.data.stream import Streamed


class FixedBatches(EpochSampler):
    """A sampler of given batches of positions; `number` keeps its random draws apart from the trial's epochs."""

    def __init__(self, batches: list[Tensor], seed: int, number: int) -> None:
        self.batches, self.seed, self.number = batches, seed, number

    def train_batches(self, epoch: int) -> Tensor:
        return torch.stack(self.batches)

    def evaluation_batches(self, name: str) -> list[Tensor]:
        return self.batches

    def key(self, epoch: int, step: int) -> Key:
        return (self.seed, -1 - self.number, step)


def batch_size(data: Data, wanted: int | None) -> int:
    """Items in a measured mini-batch: `wanted`, or the trial's own; at most the whole set."""
    if isinstance(data, TokenData):
        o, items = data.options.optimizer, data.sets["train"]
        own = round(o.batch_tokens / data.lengths[items].mean()) if o.batch_tokens else o.batch_size
        return min(wanted or max(1, own), len(items))
    sampler = _images(data).sampler
    return min(wanted or sampler.train_batch_size, sampler.sizes["train"])


def mini_batches(o: Options, data: Data, count: int, size: int, number: int, augment: bool) -> Iterator[Batch]:
    """`count` independent batches of `size` distinct items each, augmented as in training or not at all.

    They depend on the trial's seed and `number` alone, not on the regularizer, so trials can be paired.
    """
    items = _training_items(o, data)
    generators = (torch.Generator().manual_seed(derive_seed(o.seed, "analysis", number, i)) for i in range(count))
    batches = [items[torch.randperm(len(items), generator=generator)[:size]] for generator in generators]
    if isinstance(data, TokenData):
        yield from (data.batch(batch.numpy()) for batch in batches)
        return
    view = _with_sampler(data, FixedBatches(batches, o.seed, number))
    yield from view.train(0) if augment else _unaugmented(o, view)


def whole_set(o: Options, data: Data, size: int) -> Iterator[Batch]:
    """Every training item once, unaugmented, in even batches of at most `size`.

    With `dataset.limit`, as many of these batches as an epoch has.
    """
    items = _training_items(o, data)
    batches = list(torch.tensor_split(items, math.ceil(len(items) / size)))[: o.dataset.limit]
    if isinstance(data, TokenData):
        yield from (data.batch(batch.numpy()) for batch in batches)
        return
    yield from _unaugmented(o, _with_sampler(data, FixedBatches(batches, o.seed, 0)))


def _training_items(o: Options, data: Data) -> Tensor:
    if isinstance(data, TokenData):
        items = torch.from_numpy(data.sets["train"])
        return items[: batch_size(data, None)] if o.dataset.repeat_batch else items
    sampler = _images(data).sampler
    items = sampler.sets["train"]
    return items[: sampler.train_batch_size] if o.dataset.repeat_batch else items


def _unaugmented(o: Options, view: "Resident | Streamed") -> Iterator[Batch]:
    """The batches as in evaluation, but with label smoothing as in training: that is part of the loss."""
    from rdrop_exp.data.augment import smooth

    for batch in view.validation():
        smoothing = o.dataset.label_smoothing
        targets = smooth(batch.targets, view.spec.classes, smoothing) if smoothing else batch.targets
        yield batch._replace(targets=targets)


def _with_sampler(data: Data, sampler: FixedBatches) -> "Resident | Streamed":
    """The same images, in the given batches."""
    view = copy.copy(_images(data))
    view.sampler, view.steps_per_epoch = sampler, len(sampler.batches)
    return view


def _images(data: Data) -> "Resident | Streamed":
    return cast("Resident | Streamed", data)
