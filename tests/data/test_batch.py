"""Batches of tensors and of dictionaries, with and without a mask."""

import torch

from rdrop_exp.data.batch import Batch, items, split
from rdrop_exp.train.evaluate import correct


def test_split_parts_put_together_are_the_batch() -> None:
    batch = Batch({"ids": torch.arange(10).view(5, 2)}, torch.arange(5), torch.tensor([1, 0, 1, 1, 0]).bool())  # type: ignore[arg-type]
    parts = split(batch, 2)
    assert [len(p.targets) for p in parts] == [3, 2]
    assert torch.equal(torch.cat([p.inputs["ids"] for p in parts]), batch.inputs["ids"])  # type: ignore[call-overload]
    assert torch.equal(torch.cat([p.mask for p in parts if p.mask is not None]), batch.mask)
    assert sum(int(items(p)) for p in parts) == items(batch) == 3


def test_items_and_correct_count_what_the_mask_selects() -> None:
    outputs = torch.tensor([[[2.0, 1.0], [0.0, 1.0]], [[0.0, 3.0], [5.0, 1.0]]])
    targets = torch.tensor([[0, 0], [1, 0]])
    everything = Batch(torch.zeros(2), targets)
    some = Batch(torch.zeros(2), targets, torch.tensor([[True, False], [True, False]]))
    soft = Batch(torch.zeros(2), torch.nn.functional.one_hot(targets).float())
    assert (items(everything), items(some), items(soft)) == (4, 2, 4)
    assert (correct(outputs, everything), correct(outputs, some), correct(outputs, soft)) == (3, 2, 3)
