"""Batches of tensors and of dictionaries, with and without a mask."""

from typing import Any

import torch

from rdrop_exp.data.batch import Batch, items, split
from rdrop_exp.tasks.meters import correct


def test_micro_batches_partition_the_batch() -> None:
    inputs: Any = {"ids": torch.arange(10).view(5, 2)}
    mask = torch.tensor([1, 0, 1, 1, 0]).bool()
    batch = Batch(inputs, torch.arange(5), mask)
    parts = split(batch, 2)
    assert [len(p.targets) for p in parts] == [3, 2]
    part_inputs: list[Any] = [p.inputs for p in parts]
    assert torch.equal(torch.cat([part["ids"] for part in part_inputs]), inputs["ids"])
    assert torch.equal(torch.cat([p.mask for p in parts if p.mask is not None]), mask)
    assert sum(int(items(p)) for p in parts) == items(batch) == 3


def test_items_and_correct_count_what_the_mask_selects() -> None:
    outputs = torch.tensor([[[2.0, 1.0], [0.0, 1.0]], [[0.0, 3.0], [5.0, 1.0]]])
    targets = torch.tensor([[0, 0], [1, 0]])
    everything = Batch(torch.zeros(2), targets)
    some = Batch(torch.zeros(2), targets, torch.tensor([[True, False], [True, False]]))
    soft = Batch(torch.zeros(2), torch.nn.functional.one_hot(targets).float())
    assert (items(everything), items(some), items(soft)) == (4, 2, 4)
    assert (correct(outputs, everything), correct(outputs, some), correct(outputs, soft)) == (3, 2, 3)
