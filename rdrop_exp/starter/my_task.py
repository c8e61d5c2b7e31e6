"""A task of my own: images to a number instead of a class. Remove it if you have classes.

rdrop-exp plugins=[my_task] dataset.name=brightness regularizer=rdrop
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.options import Options
from rdrop_exp.config.registry import TASKS
from rdrop_exp.data.datasets import Preview, Source
from rdrop_exp.tasks import images
from rdrop_exp.tasks.task import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from rdrop_exp.data.batch import Batch, Data


def read(dataset: Dataset) -> Source:
    """Images, a number for each, and which are in which set. Files of your own belong in `dataset.root`."""
    import numpy as np

    draw = np.random.default_rng(0)
    numbers = draw.uniform(0, 1, 400).astype(np.float32)
    pictures = (draw.integers(0, 256, (400, 1, 8, 8)) * numbers[:, None, None, None]).astype(np.uint8)
    order = np.random.default_rng(dataset.split_seed).permutation(400)
    sets = {"train": order[:240], "validation": order[240:320], "test": order[320:]}
    return Source(
        labels=numbers, sets=sets, classes=1, channels=1, images=pictures, paths=None, mean=None, std=None,
        summary="brightness: 240 train, 80 validation, 80 test",
        fingerprint="1",  # another one for other data
    )  # fmt: skip


def preview(dataset: Dataset) -> Preview:
    """What a plan says about the data."""
    source = read(dataset)
    return Preview(source.summary, source.fingerprint, classes=1, channels=1, size=8)


def load(o: Options, device: torch.device) -> Data:
    """The batches. Any class with the methods of `rdrop_exp.data.batch.Data` will do."""
    from rdrop_exp.data.resident import Resident

    return Resident(read(o.dataset), o.dataset, batch_size=o.optimizer.batch_size, seed=o.seed, device=device)


class Errors:
    """Measures a set: the loss, and the mean absolute error."""

    def __init__(self, o: Options, data: Data, prefix: str) -> None:
        self.prefix, self.errors = prefix, list[Any]()

    def add(self, network: nn.Module, outputs: Tensor, batch: Batch) -> None:
        self.errors.append((outputs[:, 0].float() - batch.targets).abs())

    def row(self) -> dict[str, float]:
        errors = self.items()
        return {f"{self.prefix}/loss": float((errors**2).mean()), f"{self.prefix}/mae": float(errors.mean())}

    def items(self) -> Tensor:
        import torch

        return torch.cat(self.errors).cpu()

    def generated(self) -> list[dict[str, str]]:
        return []


def task(o: Options) -> Task:
    """As for classes, except for this. Of the options, only `dataset` is given while a sweep is planned."""
    return dataclasses.replace(
        images.task(),
        name="brightness",
        metric="mae",  # what Errors measures, and what trials are selected and compared by
        higher_is_better=False,
        loss="squared_error",
        divergence="mse",
        column="",
        preview=preview,
        fingerprint=lambda dataset: read(dataset).fingerprint,
        load=load,
        meter=Errors,
    )


TASKS["brightness"] = task  # dataset.name=brightness
