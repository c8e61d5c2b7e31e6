"""Data sets: `build` makes the three sets of any name of the catalogue, held on the device or streamed from files.

Reading order: `catalogue` (name → images or files, and the set of each), `plan` (which items each batch holds),
`augment` (whole batches on the device), then `resident` and `stream`, the two ways to feed them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rdrop_exp import config

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Batch(NamedTuple):
    inputs: Tensor
    """(batch, channels, size, size) float32, normalised, on the device."""
    targets: Tensor
    """(batch,) int64, or (batch, classes) float32 where labels are mixed or smoothed."""
    mask: Tensor | None = None
    """Which items count; None: all."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a model must fit."""

    classes: int
    channels: int
    image_size: int


class Data(Protocol):
    """Three sets of batches. Every draw is a function of (seed, epoch, batch or item), so any epoch starts anywhere."""

    spec: Spec
    steps_per_epoch: int
    """Whole batches; at least 1, for a batch holds all items where there are fewer than its size."""
    sizes: dict[str, int]
    """Items of "train", "validation" and "test"."""

    def train(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches `start`, `start + 1`, … of an epoch: the same bits as all of them with the first `start` skipped."""
        ...

    def validation(self) -> Iterator[Batch]:
        """Every item once, in a fixed order, without augmentation."""
        ...

    def test(self) -> Iterator[Batch]:
        """As `validation`."""
        ...


def build(options: config.Dataset, *, batch_size: int, seed: int, device: torch.device) -> Data:
    """The data set that the options describe; `OptionError` where its files are missing or an option does not fit."""
    from rdrop_exp.data import catalogue

    source = catalogue.load(options)
    if options.resident:
        from rdrop_exp.data.resident import Resident

        return Resident(source, options, batch_size=batch_size, seed=seed, device=device)
    from rdrop_exp.data.stream import Streamed

    return Streamed(source, options, batch_size=batch_size, seed=seed, device=device)
