"""What the loop does with a batch, whatever its inputs are: a tensor or a dictionary of tensors."""

from typing import Any

from torch import Tensor

from rdrop_exp.data import Batch


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
