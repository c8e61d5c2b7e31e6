"""The items of each batch, a function of (seed, epoch) alone."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.shard import Shard
from rdrop_exp.data.splits import train_batches
from rdrop_exp.seeds import derive_seed

Key = tuple[int, int, int]
"""(seed, epoch, batch): the seed of one training batch's augmentation."""


class Part(NamedTuple):
    """The part of a training batch that a process makes."""

    size: int
    """Items of the whole batch, for which augmentation is drawn."""
    read: slice | Tensor
    """The places in the batch of the items that are read."""
    kept: slice
    """Of those read, what the part is made of: mixing needs the other image of each pair as well."""


class EpochSampler:
    """The positions in each batch of the three sets."""

    def __init__(self, sets: dict[str, NDArray[np.int64]], options: Dataset, batch_size: int, seed: int) -> None:
        self.sets = {name: torch.from_numpy(items) for name, items in sets.items()}
        self.sizes = {name: len(sets[name]) for name in ("train", "validation", "test")}
        self.options, self.batch_size, self.seed = options, batch_size, seed
        self.pairs = options.mixup > 0 or options.cutmix > 0  # images of a batch, the first with the last
        size, self.steps = train_batches(self.sizes["train"], batch_size, options)
        if size == 0:
            raise OptionError(
                "dataset.mixup and dataset.cutmix combine pairs of images, but there is only one training image"
            )
        self.train_batch_size = size
        self.train_items = self.sets["train"][:size] if options.repeat_batch else self.sets["train"]

    def train_batches(self, epoch: int) -> Tensor:
        """(steps, batch) positions of an epoch's batches; an incomplete last batch is dropped."""
        items, size = self.sets["train"], self.train_batch_size
        if self.options.repeat_batch:
            return items[:size].expand(self.steps, size)
        order = torch.randperm(
            len(items), generator=torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
        )
        return items[order[: self.steps * size]].view(self.steps, size)

    def part(self, shard: Shard) -> Part:
        """What a process reads of each training batch, and keeps."""
        size = self.train_batch_size
        rows = shard.rows(size)
        if shard.ranks == 1 or not self.pairs:
            return Part(size, rows, slice(None))
        partners = torch.arange(size - rows.stop, size - rows.start)  # in this order the two halves pair up
        return Part(size, torch.cat([torch.arange(rows.start, rows.stop), partners]), slice(len(partners)))

    def key(self, epoch: int, step: int) -> Key:
        """What seeds a batch's augmentation; a repeated batch is augmented alike each time."""
        return (self.seed, 0, 0) if self.options.repeat_batch else (self.seed, epoch, step)

    def given_key(self, draws: int | None, step: int) -> Key | None:
        """As `key`, of `Data.given`: no epoch has a number below 0."""
        return None if draws is None else (self.seed, -1 - draws, step)

    def evaluation_batches(self, name: str) -> list[Tensor]:
        """Every item of a set once, in batches of twice the training size, as no activations are stored."""
        return list(torch.split(self.sets[name], 2 * self.batch_size))[: self.options.limit]
