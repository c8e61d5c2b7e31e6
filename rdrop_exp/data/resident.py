"""The whole data set as one uint8 tensor on the device: decoded once, then only indexed."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdrop_exp.config.options import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data import cache
from rdrop_exp.data.augment import Augment, send, statistics
from rdrop_exp.data.batch import Batch, Spec
from rdrop_exp.data.datasets import Source
from rdrop_exp.data.sampler import Plan

BLOCK = 256
"""Images that a thread decodes at a stretch."""


class Resident:
    """The `Data` of a set that fits into the device's memory."""

    def __init__(self, source: Source, options: Dataset, *, batch_size: int, seed: int, device: torch.device) -> None:
        images = pixels(source, options.image_size)
        mean, std = source.mean, source.std
        if mean is None or std is None:
            mean, std = statistics(images, source.sets["train"])
        self.spec = Spec(source.classes, source.channels, images.shape[-1])
        self.plan = Plan(source.sets, options, batch_size, seed)
        self.augment = Augment(options, self.spec, mean, std, device)
        self.device, self.steps_per_epoch, self.sizes = device, self.plan.steps, self.plan.sizes
        self.images = torch.from_numpy(images).to(device)
        self.labels = torch.from_numpy(source.labels).to(device)

    def train(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        order = send(self.plan.training(epoch), self.device)
        for step in range(start, self.steps_per_epoch):
            images, labels = self._items(order[step])
            yield self.augment.train(images, labels, self.plan.key(epoch, step))

    def validation(self) -> Iterator[Batch]:
        return self._evaluation("validation")

    def test(self) -> Iterator[Batch]:
        return self._evaluation("test")

    def _evaluation(self, name: str) -> Iterator[Batch]:
        for items in self.plan.evaluation(name):
            yield self.augment.evaluate(*self._items(send(items, self.device)))

    def _items(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.images.index_select(0, positions), self.labels.index_select(0, positions)


def pixels(source: Source, size: int | None) -> NDArray[np.uint8]:
    """All images, (items, channels, size, size) uint8; those of files are decoded once and kept in the cache.

    Other shapes are cut to the square in their middle and resized with antialiasing. Without a size it is that of the
    images, which then must be square and alike, else `OptionError`.
    """
    if source.paths is None:
        assert source.images is not None
        same = size is None or source.images.shape[2:] == (size, size)
        return source.images if same else _decode(source, size)
    name = cache.key(source.paths, "bilinear", size, source.channels)
    return cache.remember(name, lambda: _decode(source, size))


def _decode(source: Source, size: int | None) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    width, height = source.picture(0).size
    if size is None and width != height:
        raise _no_size(source, 0, f"is {width}×{height} pixels")
    side = size or width
    shape = (len(source.labels), source.channels, side, side)
    _check_memory(math.prod(shape))
    array = np.empty(shape, np.uint8)

    def fill(start: int) -> None:
        for item in range(start, min(start + BLOCK, len(array))):
            picture = source.picture(item)
            if size is None and picture.size != (side, side):
                raise _no_size(source, item, f"is {picture.width}×{picture.height} pixels, the first is {side}×{side}")
            square = ImageOps.fit(picture, (side, side), Image.Resampling.BILINEAR)
            array[item] = np.asarray(square).reshape(side, side, -1).transpose(2, 0, 1)

    with ThreadPoolExecutor(cores()) as pool:  # PIL decodes and resizes outside Python's lock
        for _ in pool.map(fill, range(0, len(array), BLOCK)):
            pass
    return array


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _no_size(source: Source, item: int, why: str) -> OptionError:
    name = source.paths[item] if source.paths is not None else f"image {item}"
    return OptionError(f"dataset.image_size=null needs square images of one size, but {name} {why}: set it")


def _check_memory(needed: int) -> None:
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not told on this system
        return
    if needed > there:
        raise OptionError(
            f"dataset.resident=true would hold {needed / 1e9:.0f} GB of images in {there / 1e9:.0f} GB of memory:"
            " set dataset.resident=false or a smaller dataset.image_size"
        )
