"""A pass over a whole set, noise off."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from rdrop_exp.data.batch import Batch
from rdrop_exp.tasks.task import Meter
from rdrop_exp.train.parallel import ALONE, World

Row = dict[str, float]


@torch.no_grad()
def evaluate(
    network: nn.Module,
    batches: Iterable[Batch],
    cast: Callable[[], AbstractContextManager[Any]],
    meter: Meter,
    world: World = ALONE,
) -> tuple[Row, Tensor]:
    """The meter's row and its value for each item, after all batches; the values on the first rank alone."""
    network.eval()
    for batch in batches:
        with cast():
            outputs = network(batch.inputs)
        meter.add(network, outputs, batch)
    if world.size == 1:
        return meter.row(), meter.items()
    meter.merge(world)
    row = world.from_first({} if world.rank else meter.row())
    return row, torch.empty(0) if world.rank else meter.items()
