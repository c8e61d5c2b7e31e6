"""What the meters of several tasks have in common."""

import numpy as np
import torch
from torch import Tensor, nn

from rdrop_exp.data.batch import Batch, items
from rdrop_exp.tasks.losses import cross_entropy
from rdrop_exp.tasks.task import Gather, Meter
from rdrop_exp.text.tokens import TokenData

SETS = {"val": "validation", "test": "test"}
"""Prefix of metrics → set."""


class AccuracyMeter(Meter):
    """Mean loss and accuracy of classes; with two networks the second's beside the first's."""

    def __init__(self, prefix: str, networks: int = 1) -> None:
        self.prefix, self.networks = prefix, networks
        self.sums: Tensor | None = None
        self.count: int | Tensor = 0
        self.values: list[Tensor] = []

    def add(self, network: nn.Module, outputs: Tensor, batch: Batch) -> None:
        if self.sums is None:
            self.sums = torch.zeros(self.networks, 2, device=outputs.device)
        for i, out in enumerate(outputs.chunk(self.networks)):
            losses = cross_entropy(out.float().flatten(0, -2), batch.targets.flatten())
            kept = losses if batch.mask is None else losses[batch.mask.flatten()]
            right = hits(out, batch)
            self.sums[i] += torch.stack([kept.sum(), right.sum().float()])
            if i == 0:
                self.values.append(item_values(right, batch.mask))
        self.count = self.count + items(batch)

    def merge(self, gather: Gather) -> None:
        self.sums, self.count = gather.total(self.sums), gather.total(self.count)
        self.values = [gather.interleaved(torch.cat(self.values))]

    def row(self) -> dict[str, float]:
        assert self.sums is not None
        means = (self.sums / self.count).tolist()
        row = {f"{self.prefix}/loss": means[0][0], f"{self.prefix}/accuracy": means[0][1]}
        if self.networks == 2:
            row |= {f"{self.prefix}/loss_peer": means[1][0], f"{self.prefix}/accuracy_peer": means[1][1]}
        return row

    def items(self) -> Tensor:
        per_item = torch.cat(self.values).cpu()
        return per_item[~per_item.isnan()]


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


def in_set_order(values: Tensor, data: TokenData, prefix: str) -> Tensor:
    """(items, …) values in the order of the evaluation batches → in the set's own order.

    With `dataset.limit`, the items that were evaluated.
    """
    place = {item: i for i, item in enumerate(data.sets[SETS[prefix]].tolist())}
    return values[np.argsort([place[item] for item in evaluated(data, prefix).tolist()])]


def evaluated(data: TokenData, prefix: str) -> Tensor:
    """(items,) positions in the data set, in the order of the evaluation batches."""
    return torch.from_numpy(np.concatenate(data.evaluation_batches(SETS[prefix])))
