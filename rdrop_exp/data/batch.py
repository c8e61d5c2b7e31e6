"""What a model is trained on, batch by batch, whatever its inputs are: a tensor or a dictionary of tensors."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

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


def items(batch: Batch) -> int | Tensor:
    """Number of items in a batch: those of the mask, or all."""
    if batch.mask is not None:
        return batch.mask.sum()
    return batch.targets.numel() if not batch.targets.is_floating_point() else batch.targets[..., 0].numel()


def repeat(inputs: Any, copies: int) -> Any:
    """The inputs `copies` times over, one after another along the batch: rows have independent noise."""
    if copies == 1:
        return inputs
    if isinstance(inputs, dict):
        return {k: repeat(v, copies) for k, v in inputs.items()}
    return inputs.repeat(copies, *[1] * (inputs.ndim - 1))


def split(batch: Batch, parts: int) -> list[Batch]:
    """A batch as micro-batches, equal but for the last."""
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
