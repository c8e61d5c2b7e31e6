"""A pass over a whole set, noise off."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from rdrop_exp.data.batch import Batch
from rdrop_exp.tasks.task import Meter

Row = dict[str, float]


@torch.no_grad()
def evaluate(
    network: nn.Module, batches: Iterable[Batch], cast: Callable[[], AbstractContextManager[Any]], meter: Meter
) -> tuple[Row, Tensor]:
    """The meter's row and its value for each item, after all batches."""
    network.eval()
    for batch in batches:
        with cast():
            outputs = network(batch.inputs)
        meter.add(network, outputs, batch)
    return meter.row(), meter.items()
