"""Stochastic depth that runs a residual branch on the samples that it keeps, not on all of them under a mask.

Each sample is kept or dropped independently (exact Bernoulli), but at the start of the branch: the kept ones are
gathered there, and scattered among zeros where it ends. `branch_inputs.py` determines where branches begin.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

LEAST = 0.05
"""Share of samples that must be dropped for a branch to leave them out; below, gathering costs as much as it saves."""


@dataclass(frozen=True, slots=True)
class KeptSamples:
    """The samples that a branch runs on: their `index` (None: all) among `rows`, and `scale`, one or one for each."""

    index: Tensor | None
    rows: int
    scale: float | Tensor


def draw_kept(rows: int, rate: float, device: torch.device, skip: bool = True) -> KeptSamples:
    """Keep each of `rows` samples with probability 1 - `rate`; with `skip` False, or where few are dropped, by a mask.

    Drawn on the CPU, so that nothing waits for a GPU to learn how many they are.
    """
    keep = torch.rand(rows) >= rate
    scale = 1.0 / (1.0 - rate)
    index = keep.nonzero().squeeze(1)
    if not skip or rows - len(index) < LEAST * rows:
        return KeptSamples(None, rows, (keep * scale).to(device, non_blocking=True))
    if not len(index):  # not every kernel takes an empty batch: the first sample runs, for nothing
        index, scale = torch.zeros(1, dtype=torch.int64), 0.0
    return KeptSamples(index.to(device, non_blocking=True), rows, scale)


def gather(x: Tensor, kept: KeptSamples) -> Tensor:
    """(rows, ...) → the kept samples, (kept, ...)."""
    if kept.index is None:
        return x
    if _channels_last(x):
        return x.permute(0, 2, 3, 1).index_select(0, kept.index).permute(0, 3, 1, 2)
    return x.index_select(0, kept.index)


def scatter(x: Tensor, kept: KeptSamples) -> Tensor:
    """(kept, ...) → (rows, ...): scaled, and zeros for the samples that were left out."""
    if kept.index is None:
        assert isinstance(kept.scale, Tensor)
        return (x * kept.scale.view(-1, *[1] * (x.ndim - 1))).to(x.dtype)  # in float32: bfloat16 has no 1 / 0.9
    assert isinstance(kept.scale, float)
    if _channels_last(x):
        return _index_add(x.permute(0, 2, 3, 1), kept.index, kept.rows, kept.scale).permute(0, 3, 1, 2)
    return _index_add(x, kept.index, kept.rows, kept.scale)


def _index_add(x: Tensor, index: Tensor, rows: int, scale: float) -> Tensor:
    if x.dtype in (torch.bfloat16, torch.float16):  # alpha would be rounded to them
        x, scale = x * scale, 1.0
    return x.new_zeros(rows, *x.shape[1:]).index_add(0, index, x, alpha=scale)


def _channels_last(x: Tensor) -> bool:
    """Whether images lie in memory pixel by pixel: to gather them in another order would slow what follows."""
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
