"""A batch of inputs and targets, and what a data set offers the training loop."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Batch(NamedTuple):
    inputs: Any
    """(batch, channels, size, size) float32, normalised, or for text a dictionary of (batch, length)."""
    targets: Tensor
    """(batch,) int64, or (batch, classes) float32 where labels are mixed or smoothed, or (batch,) float32 numbers; of
    tokens (batch, length) int64."""
    mask: Tensor | None = None
    """(batch,) bool, the items that count; None: all."""


@dataclass(frozen=True, slots=True)
class Spec:
    """The shape of the task, which the model is built for."""

    classes: int
    channels: int
    image_size: int


class Data(Protocol):
    """Three sets of batches. Every draw is a function of (seed, epoch, batch or item)."""

    spec: Any
    """What the model is built for: `Spec`, or `text.tokens.TextSpec`."""
    steps_per_epoch: int
    """Complete batches, at least 1: a set smaller than a batch is one batch."""
    sizes: dict[str, int]
    """Items of "train", "validation" and "test"."""
    batch_size: int
    """Items of a training batch, on average."""
    train_items: Tensor
    """(items,) int64, those that are trained on: of one batch with `dataset.repeat_batch`."""
    summary: str
    """What was read, in one line for the log."""
    counts: dict[str, dict[str, int]]
    """Set → class → number of images."""
    fingerprint: str
    """Changes with the user's own files; the name of a published data set."""
    shard: Any
    """`shard.Shard`, set where several processes train together: the part of each batch below that this one gets."""

    def train(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches `start`, `start + 1`, … of an epoch: bit for bit those of an epoch read from its beginning."""
        ...

    def validation(self) -> Iterator[Batch]:
        """Every item once, in a fixed order, without augmentation."""
        ...

    def test(self) -> Iterator[Batch]:
        """As `validation`."""
        ...

    def given(self, batches: list[Tensor], draws: int | None) -> Iterator[Batch]:
        """Batches of these items, whatever the shard, with the targets of training.

        Augmented as in training, by random draws that `draws` keeps apart from those of the epochs; None: not at all.
        """
        ...


def items(batch: Batch) -> int | Tensor:
    """Number of items in a batch: those of the mask, or all."""
    if batch.mask is not None:
        return batch.mask.sum()
    targets = batch.targets
    return targets[..., 0].numel() if targets.is_floating_point() and targets.ndim > 1 else targets.numel()


def split(batch: Batch, parts: int) -> list[Batch]:
    """A batch as micro-batches of equal size; the last may be smaller."""
    if parts == 1:
        return [batch]
    targets = batch.targets.chunk(parts)
    masks = (None,) * len(targets) if batch.mask is None else batch.mask.chunk(parts)
    inputs: list[Any]
    if isinstance(batch.inputs, dict):
        pieces = {k: v.chunk(parts) for k, v in batch.inputs.items()}
        inputs = [{k: v[i] for k, v in pieces.items()} for i in range(len(targets))]
    else:
        inputs = list(batch.inputs.chunk(parts))
    return [Batch(*each) for each in zip(inputs, targets, masks, strict=True)]
