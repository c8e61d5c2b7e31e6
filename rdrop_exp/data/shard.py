"""The part of the data that one of several processes of a trial takes."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from rdrop_exp.data.batch import Batch


class Shard(NamedTuple):
    """Process `rank` of `ranks`. The batches are the same for any number: each process takes its part of every one."""

    rank: int = 0
    ranks: int = 1

    def rows(self, count: int) -> slice:
        """Its part of a training batch: contiguous, and of equal size up to one item."""
        return slice(count * self.rank // self.ranks, count * (self.rank + 1) // self.ranks)

    def evaluated(self, batches: Sequence[Any]) -> list[Any]:
        """Its part of evaluation batches: every `ranks`-th item of all of them, so that the parts interleave."""
        parts, start = [], 0
        for batch in batches:
            parts.append(batch[(self.rank - start) % self.ranks :: self.ranks])
            start += len(batch)
        return [part for part in parts if len(part)]


def whole(data: Any) -> Any:
    """The same data, not divided between processes."""
    if getattr(data, "shard", Shard()).ranks == 1:
        return data
    data = copy.copy(data)
    data.shard = Shard()
    return data


def uncounted(batch: Batch) -> Batch:
    """The batch with a mask of nothing: what a process takes that has no part in it."""
    shape = batch.targets.shape[:1] if batch.mask is None else batch.mask.shape
    return batch._replace(mask=torch.zeros(shape, dtype=torch.bool, device=batch.targets.device))
