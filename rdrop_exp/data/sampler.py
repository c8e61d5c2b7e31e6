"""Which items each batch holds: a function of (seed, epoch) alone."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdrop_exp.config.options import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.seeds import derive_seed

Key = tuple[int, int, int]
"""(seed, epoch, batch): names the draws of one training batch."""


class Plan:
    """The batches of the three sets, as positions."""

    def __init__(self, sets: dict[str, NDArray[np.int64]], options: Dataset, batch_size: int, seed: int) -> None:
        self.sets = {name: torch.from_numpy(items) for name, items in sets.items()}
        self.sizes = {name: len(sets[name]) for name in ("train", "validation", "test")}
        self.options, self.batch_size, self.seed = options, batch_size, seed
        size = min(batch_size, self.sizes["train"])
        if options.mixup > 0 or options.cutmix > 0:  # these pair the images of a batch
            size -= size % 2
            if size == 0:
                raise OptionError("dataset.mixup and dataset.cutmix pair images, but there is one training image only")
        self.training_size = size
        self.steps = min(self.sizes["train"] // size, options.limit or self.sizes["train"])

    def training(self, epoch: int) -> Tensor:
        """(steps, batch) positions of an epoch's batches; what is left after the last whole batch is left out."""
        items, size = self.sets["train"], self.training_size
        if self.options.repeat_batch:
            return items[:size].expand(self.steps, size)
        order = torch.randperm(
            len(items), generator=torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
        )
        return items[order[: self.steps * size]].view(self.steps, size)

    def key(self, epoch: int, step: int) -> Key:
        """The name of a batch's draws; a repeated batch has the same ones each time."""
        return (self.seed, 0, 0) if self.options.repeat_batch else (self.seed, epoch, step)

    def evaluation(self, name: str) -> list[Tensor]:
        """Every item of a set once, in batches of twice the training size, as no gradient is kept."""
        return list(torch.split(self.sets[name], 2 * self.batch_size))[: self.options.limit]
