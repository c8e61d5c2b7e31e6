"""The whole data set as one uint8 tensor on the device: decoded once, then indexed."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.console import status
from rdrop_exp.data import cache
from rdrop_exp.data.augment import Augment, send, statistics
from rdrop_exp.data.batch import Batch, Spec
from rdrop_exp.data.datasets import Source
from rdrop_exp.data.sampler import EpochSampler
from rdrop_exp.data.shard import Shard
from rdrop_exp.data.size_check import check_memory
from rdrop_exp.hardware import cores

BLOCK = 256
"""Images per task of a decoding thread."""


class Resident:
    """`Data` held in the device's memory."""

    def __init__(self, source: Source, options: Dataset, *, batch_size: int, seed: int, device: torch.device) -> None:
        images = all_images(source, options.image_size)
        mean, std = source.mean, source.std
        if mean is None or std is None:
            mean, std = statistics(images, source.sets["train"])
        self.spec = Spec(source.classes, source.channels, images.shape[-1])
        self.sampler = EpochSampler(source.sets, options, batch_size, seed)
        self.augment = Augment(options, self.spec, mean, std, device)
        self.device, self.steps_per_epoch, self.sizes = device, self.sampler.steps, self.sampler.sizes
        self.batch_size, self.train_items = self.sampler.train_batch_size, self.sampler.train_items
        self.summary, self.counts, self.fingerprint = source.summary, source.counts, source.fingerprint
        self.shard = Shard()
        self.images = torch.from_numpy(images).to(device)
        self.labels = torch.from_numpy(source.labels).to(device)

    def train(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        part = self.sampler.part(self.shard)
        order = send(self.sampler.train_batches(epoch)[:, part.read], self.device)
        for step in range(start, self.steps_per_epoch):
            images, labels = self._items(order[step])
            yield self.augment.train(images, labels, self.sampler.key(epoch, step), part)

    def validation(self) -> Iterator[Batch]:
        return self._evaluation("validation")

    def test(self) -> Iterator[Batch]:
        return self._evaluation("test")

    def given(self, batches: list[Tensor], draws: int | None) -> Iterator[Batch]:
        for step, items in enumerate(batches):
            images, labels = self._items(send(items, self.device))
            yield self.augment.given(images, labels, self.sampler.given_key(draws, step))

    def _evaluation(self, name: str) -> Iterator[Batch]:
        for items in self.shard.evaluated(self.sampler.evaluation_batches(name)):
            yield self.augment.evaluate(*self._items(send(items, self.device)))

    def _items(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.images.index_select(0, positions), self.labels.index_select(0, positions)


def all_images(source: Source, size: int | None) -> NDArray[np.uint8]:
    """All images, (items, channels, size, size) uint8; files are decoded once and cached.

    Images of another shape are cropped to their central square and resized with antialiasing. Without `size`, all must
    be square and of one size, else `OptionError`.
    """
    if source.paths is None:
        assert source.images is not None
        same = size is None or source.images.shape[2:] == (size, size)
        return source.images if same else _decode(source, size)
    name = cache.key(source.paths, "upright", "bilinear", size, source.decoder)
    return cache.cached_array(name, lambda: _decode(source, size))


def _decode(source: Source, size: int | None) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    width, height = source.picture(0).size
    if size is None and width != height:
        raise _no_size(source, 0, f"is {width}×{height} pixels")
    side = size or width
    shape = (len(source.labels), source.channels, side, side)
    check_memory(math.prod(shape))
    array = np.empty(shape, np.uint8)

    def fill(start: int) -> None:
        for item in range(start, min(start + BLOCK, len(array))):
            picture = source.picture(item)
            if size is None and picture.size != (side, side):
                raise _no_size(source, item, f"is {picture.width}×{picture.height} pixels, the first is {side}×{side}")
            square = ImageOps.fit(picture, (side, side), Image.Resampling.BILINEAR)
            array[item] = np.asarray(square).reshape(side, side, -1).transpose(2, 0, 1)

    reading = status(f"reading {len(array):,} images")
    with (
        reading,
        ThreadPoolExecutor(cores()) as pool,
    ):  # Pillow releases the interpreter lock while it decodes and resizes
        for _ in pool.map(fill, range(0, len(array), BLOCK)):
            pass
    return array


def _no_size(source: Source, item: int, why: str) -> OptionError:
    name = source.paths[item] if source.paths is not None else f"image {item}"
    return OptionError(
        f"dataset.image_size=null needs square images of one size, but {name} {why}: set dataset.image_size"
    )
