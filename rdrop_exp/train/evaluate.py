"""Loss and accuracy over a whole set, noise off."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from rdrop_exp.data.batch import Batch, items
from rdrop_exp.train.losses import TASK_LOSSES

Row = dict[str, float]


@torch.no_grad()
def evaluate(
    network: nn.Module,
    batches: Iterable[Batch],
    device: torch.device,
    cast: Callable[[], AbstractContextManager[Any]],
    prefix: str,
    networks: int = 1,
) -> tuple[Row, Tensor]:
    """Mean loss and accuracy over all items, noise off; with two networks the second's accuracy beside the first's.

    Also how the (first) network does on each item, (items,) on the CPU, in the order of the set: see `item_values`.
    """
    network.eval()
    sums = torch.zeros(networks, 2, device=device)
    count: int | Tensor = 0
    values: list[Tensor] = []
    for batch in batches:
        with cast():
            outputs = network(batch.inputs)
        for i, out in enumerate(outputs.chunk(networks)):
            losses = TASK_LOSSES["cross_entropy"](out.float().flatten(0, -2), batch.targets.flatten())
            kept = losses if batch.mask is None else losses[batch.mask.flatten()]
            right = hits(out, batch)
            sums[i] += torch.stack([kept.sum(), right.sum().float()])
            if i == 0:
                values.append(item_values(right, batch.mask))
        count = count + items(batch)
    means = (sums / count).tolist()
    row = {f"{prefix}/loss": means[0][0], f"{prefix}/accuracy": means[0][1]}
    if networks == 2:
        row |= {f"{prefix}/loss_peer": means[1][0], f"{prefix}/accuracy_peer": means[1][1]}
    per_item = torch.cat(values).cpu()
    return row, per_item[~per_item.isnan()]


def correct(outputs: Tensor, batch: Batch) -> Tensor:
    """How many items (those of the mask) have the target class as the most likely one: (batch, …, classes) → scalar."""
    return hits(outputs, batch).sum().float()


def hits(outputs: Tensor, batch: Batch) -> Tensor:
    """Which items (of the mask) have the target class as the most likely one: (batch, …, classes) → (batch, …)."""
    targets = batch.targets if batch.targets.ndim < outputs.ndim else batch.targets.argmax(-1)
    right = outputs.argmax(-1) == targets
    return right if batch.mask is None else right & batch.mask


def item_values(right: Tensor, mask: Tensor | None) -> Tensor:
    """(batch, …) correct or not → (batch,): the same; with tokens or a mask, the share of those kept, float32.

    NaN where the mask keeps none: to leave them out here would wait for the device.
    """
    if mask is None and right.ndim == 1:
        return right
    kept = torch.ones_like(right) if mask is None else mask
    return right.reshape(len(right), -1).sum(1) / kept.reshape(len(kept), -1).sum(1)
