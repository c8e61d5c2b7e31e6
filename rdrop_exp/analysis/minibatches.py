"""Which items are measured: independent mini-batches, and the whole training set, out of a trial's own data.

A trial's epochs draw batches without replacement, so that the mean over an epoch is the whole set's by construction.
Bias and variance of a mini-batch gradient want independent ones: each batch here is a sample of the whole set, alone.
"""

import copy
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from rdrop_exp.config.options import Options
from rdrop_exp.data.batch import Batch, Data
from rdrop_exp.data.sampler import Key, Plan
from rdrop_exp.seeds import derive_seed

if TYPE_CHECKING:
    from rdrop_exp.data.resident import Resident
    from rdrop_exp.data.stream import Streamed


class Given(Plan):
    """A plan whose batches are given, as positions; `number` names their draws beside the trial's own epochs."""

    def __init__(self, rows: list[Tensor], seed: int, number: int) -> None:
        self.rows, self.seed, self.number = rows, seed, number

    def training(self, epoch: int) -> Tensor:
        return torch.stack(self.rows)

    def evaluation(self, name: str) -> list[Tensor]:
        return self.rows

    def key(self, epoch: int, step: int) -> Key:
        return (self.seed, -1 - self.number, step)


def batch_size(data: Data, wanted: int | None) -> int:
    """Items in a measured mini-batch: as wanted, or the trial's; at most the whole set."""
    plan = _held(data).plan
    return min(wanted or plan.training_size, plan.sizes["train"])


def mini_batches(o: Options, data: Data, count: int, size: int, number: int, augment: bool) -> Iterator[Batch]:
    """`count` independent batches of `size` distinct items each, augmented as in training or not at all.

    The same for the same trial seed and `number`, whatever the regularizer, so that trials can be paired.
    """
    items = _items(o, data)
    draws = (torch.Generator().manual_seed(derive_seed(o.seed, "analysis", number, i)) for i in range(count))
    rows = [items[torch.randperm(len(items), generator=draw)[:size]] for draw in draws]
    view = _view(data, Given(rows, o.seed, number))
    yield from view.train(0) if augment else _plain(o, view)


def whole(o: Options, data: Data, size: int) -> Iterator[Batch]:
    """Every training item once, unaugmented, in even batches of at most `size`.

    With `dataset.limit`, as many batches of them as an epoch has.
    """
    items = _items(o, data)
    rows = list(torch.tensor_split(items, math.ceil(len(items) / size)))[: o.dataset.limit]
    yield from _plain(o, _view(data, Given(rows, o.seed, 0)))


def _items(o: Options, data: Data) -> Tensor:
    plan = _held(data).plan
    items = plan.sets["train"]
    return items[: plan.training_size] if o.dataset.repeat_batch else items


def _plain(o: Options, view: "Resident | Streamed") -> Iterator[Batch]:
    """The batches as in evaluation, but with the targets that training smooths: that is the loss, not augmentation."""
    from rdrop_exp.data.augment import smooth

    for batch in view.validation():
        smoothing = o.dataset.label_smoothing
        targets = smooth(batch.targets, view.spec.classes, smoothing) if smoothing else batch.targets
        yield batch._replace(targets=targets)


def _view(data: Data, plan: Given) -> "Resident | Streamed":
    """The same images, in the given batches."""
    view = copy.copy(_held(data))
    view.plan, view.steps_per_epoch = plan, len(plan.rows)
    return view


def _held(data: Data) -> "Resident | Streamed":
    return cast("Resident | Streamed", data)
