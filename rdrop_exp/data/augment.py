"""Augmentation of whole uint8 batches on the device: crop, flip, normalise, erase, mix.

Parameters are drawn on the CPU, so that augmentation is the same on every device and nothing waits for one.
"""

import contextlib
import math
import random
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.batch import Batch, Spec
from rdrop_exp.data.sampler import Key, Part
from rdrop_exp.seeds import derive_seed

ERASED_AREA, ERASED_ASPECT = (0.02, 0.33), (0.3, 3.3)
"""Share of the image's area, and height over width, of an erased rectangle (Zhong et al. 2017, random erasing)."""


class Augment:
    """Makes a `Batch` of uint8 images (batch, channels, size, size) and labels (batch,), for training or evaluation."""

    def __init__(self, options: Dataset, spec: Spec, mean: list[float], std: list[float], device: torch.device) -> None:
        self.options, self.classes, self.device = options, spec.classes, device
        # Streamed images were cropped and flipped when they were decoded.
        self.crop, self.flip = (options.crop, options.flip) if options.resident else (0, False)
        self.scale, self.shift = normalisation(
            _per_channel("mean", options.mean, mean, spec), _per_channel("std", options.std, std, spec), device
        )
        self.mixup = None
        if options.mixup > 0 or options.cutmix > 0:
            from timm.data.mixup import Mixup

            self.mixup = Mixup(
                options.mixup, options.cutmix, label_smoothing=options.label_smoothing, num_classes=spec.classes
            )

    def evaluate(self, images: Tensor, labels: Tensor) -> Batch:
        return Batch(normalise(images, self.scale, self.shift), labels)

    def given(self, images: Tensor, labels: Tensor, key: Key | None) -> Batch:
        """As `train`; without a key as `evaluate`, but with label smoothing, which is part of the loss."""
        if key is not None:
            return self.train(images, labels, key, Part(len(images), slice(None), slice(None)))
        smoothing = self.options.label_smoothing
        targets = smooth(labels, self.classes, smoothing) if smoothing else labels
        return self.evaluate(images, targets)

    def train(self, images: Tensor, labels: Tensor, key: Key, part: Part) -> Batch:
        """The augmented batch, or the part of it that was read; `key` decides every draw."""
        draws = Generator().manual_seed(derive_seed("augment", *key))
        count, size = part.size, images.shape[-1]
        if self.crop or self.flip:
            corners = torch.randint(0, 2 * self.crop + 1, (2, count), generator=draws)
            flips = torch.randint(0, 2, (1, count), generator=draws) * self.flip
            top, left, flipped = send(torch.cat([corners, flips])[:, part.read], self.device)
            images = crop_flip(images, self.crop, top, left, flipped.bool())
        inputs = normalise(images, self.scale, self.shift)
        if self.options.erase > 0:
            corners = rectangles(count, size, self.options.erase, draws)[:, part.read]
            inputs = erase(inputs, send(corners, self.device))
        if self.mixup is not None:
            with preserve_generators():
                seed_generators(derive_seed("mixup", *key))
                mixed, targets = self.mixup(inputs, labels)
                return Batch(mixed[part.kept], targets[part.kept])
        if self.options.label_smoothing > 0:
            return Batch(inputs, smooth(labels, self.classes, self.options.label_smoothing))
        return Batch(inputs, labels)


@contextlib.contextmanager
def preserve_generators() -> Iterator[None]:
    """Restore Python's, numpy's and torch's global CPU generators, which timm's code draws from."""
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.default_generator.set_state(states[2])


def seed_generators(seed: int) -> None:
    """Seed the three global CPU generators: takes a tenth of the time of saving and restoring them."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators as well


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """An asynchronous copy of a CPU tensor to the device; CUDA needs pinned memory for that."""
    if device.type == "cuda" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def statistics(images: NDArray[np.uint8], items: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of images in 0..1, exact: integers are summed."""
    channels = images.shape[1]
    total, squares = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    for block in np.array_split(np.sort(items), math.ceil(len(items) / 4096)):
        values = images[block].transpose(1, 0, 2, 3).reshape(channels, -1)
        total += values.sum(1, dtype=np.int64)
        squares += np.square(values, dtype=np.uint16).sum(1, dtype=np.int64)
    count = len(items) * images.shape[2] * images.shape[3]
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1))  # a constant channel: one grey level, not zero
    return (mean / 255).tolist(), (std / 255).tolist()


def normalisation(mean: list[float], std: list[float], device: torch.device) -> tuple[Tensor, Tensor]:
    """Scale and shift, (1, channels, 1, 1) each, that map x in 0..255 to (x / 255 - mean) / std."""
    means, stds = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (mean, std))
    return (1 / (255 * stds)).float().to(device), (-means / stds).float().to(device)


def normalise(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """(batch, channels, size, size) uint8 → float32."""
    return images.float().mul_(scale).add_(shift)


def crop_flip(images: Tensor, padding: int, top: Tensor, left: Tensor, flipped: Tensor) -> Tensor:
    """Images (batch, channels, size, size) padded with zeros, cropped at (top, left) and mirrored where `flipped`.

    `top` and `left` are (batch,) in 0..2 × padding, `flipped` is (batch,) bool.
    """
    count, channels, size, _ = images.shape
    wide, line = size + 2 * padding, torch.arange(size, device=images.device)
    # Selecting rows over the whole batch and then gathering columns is 2.5 times as fast as indexing on a CPU.
    first = torch.arange(0, count * channels * wide, wide, device=images.device).view(count, channels, 1)
    rows = (first + (top[:, None] + line)[:, None]).flatten()
    columns = left[:, None] + torch.where(flipped[:, None], line.flip(0), line)
    selected = F.pad(images, (padding,) * 4).view(-1, wide).index_select(0, rows).view(count, channels * size, wide)
    return selected.gather(2, columns[:, None].expand(-1, channels * size, -1)).view(images.shape)


def rectangles(count: int, size: int, probability: float, draws: Generator) -> Tensor:
    """(4, count) int64: top, bottom, left, right of the rectangle to erase in each image; empty: none.

    Area is uniform, aspect log-uniform; the first of ten candidates that fits the image is used.
    """
    area, aspect, y, x = torch.rand(4, count, 10, generator=draws, dtype=torch.float64)
    area = size**2 * (ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0]))
    low, high = (math.log(bound) for bound in ERASED_ASPECT)
    aspect = (low + aspect * (high - low)).exp()
    height, width = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (height <= size) & (width <= size)
    first = fits.int().argmax(1, keepdim=True)
    erased = (torch.rand(count, 1, generator=draws) < probability) & fits.any(1, keepdim=True)
    height, width, y, x = (values.gather(1, first) for values in (height, width, y, x))
    top, left = (y * (size - height + 1)).floor(), (x * (size - width + 1)).floor()
    corners: Tensor = torch.stack([top, top + height, left, left + width]) * erased
    return corners.squeeze(2).long()


def erase(inputs: Tensor, corners: Tensor) -> Tensor:
    """Normalised images with the rectangles `corners` (4, batch) set to 0, the mean."""
    line = torch.arange(inputs.shape[-1], device=inputs.device)
    top, bottom, left, right = corners[:, :, None]
    rows, columns = (top <= line) & (line < bottom), (left <= line) & (line < right)
    return inputs.mul_(~(rows[:, :, None] & columns[:, None, :])[:, None])


def smooth(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """(batch,) labels → (batch, classes) float32 with `smoothing` of each target spread evenly over all classes."""
    targets = torch.full((len(labels), classes), smoothing / classes, device=labels.device)
    return targets.scatter_(1, labels[:, None], 1 - smoothing + smoothing / classes)


def _per_channel(name: str, given: list[float] | None, default: list[float], spec: Spec) -> list[float]:
    values = default if given is None else given
    if len(values) != spec.channels:
        raise OptionError(f"dataset.{name}={values} must have {spec.channels} numbers, one per channel")
    if name == "std" and min(values) <= 0:
        raise OptionError(f"dataset.std={values} must be greater than 0")
    return values
