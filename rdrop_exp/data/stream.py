"""Images decoded and augmented as they are needed, by worker processes, and normalised on the device."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.utils.data
from torch import Tensor
from torch.utils.data import DataLoader

from rdrop_exp.config.options import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.augment import Augment, generators_kept, seed_generators, send, statistics
from rdrop_exp.data.batch import Batch, Spec
from rdrop_exp.data.datasets import IMAGENET_MEAN, IMAGENET_STD, Source
from rdrop_exp.data.resident import cores
from rdrop_exp.data.sampler import Plan
from rdrop_exp.seeds import derive_seed

ItemKey = tuple[int | None, int]
"""(epoch, position) of an image to train on, (None, position) of one to evaluate."""


class Streamed:
    """The `Data` of a set too large for memory, or whose augmentation works on single images."""

    def __init__(self, source: Source, options: Dataset, *, batch_size: int, seed: int, device: torch.device) -> None:
        own, mean, std = 224, source.mean or IMAGENET_MEAN, source.std or IMAGENET_STD
        if source.images is not None:
            own = source.images.shape[-1]
            if source.mean is None:
                mean, std = statistics(source.images, source.sets["train"])
        self.spec = Spec(source.classes, source.channels, options.image_size or own)
        self.plan = Plan(source.sets, options, batch_size, seed)
        self.augment = Augment(options, self.spec, mean, std, device)
        self.device, self.steps_per_epoch, self.sizes = device, self.plan.steps, self.plan.sizes
        self.items = Items(source, transforms(options, self.spec, mean, std, framed=source.images is not None), seed)
        self.workers = min(cores(), 8) if options.workers is None else options.workers
        self.idle: list[Feed] = []

    def train(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        order = self.plan.training(epoch)[start:]
        _, named, _ = self.plan.key(epoch, start)
        keys: Iterator[list[ItemKey]] = ([(named, item) for item in items.tolist()] for items in order)
        for step, (images, labels) in enumerate(self._batches(keys, len(order)), start):
            yield self.augment.train(images, labels, self.plan.key(epoch, step))

    def validation(self) -> Iterator[Batch]:
        return self._evaluation("validation")

    def test(self) -> Iterator[Batch]:
        return self._evaluation("test")

    def _evaluation(self, name: str) -> Iterator[Batch]:
        batches = self.plan.evaluation(name)
        keys: Iterator[list[ItemKey]] = ([(None, item) for item in items.tolist()] for items in batches)
        for images, labels in self._batches(keys, len(batches)):
            yield self.augment.evaluate(images, labels)

    def _batches(self, keys: Iterable[list[ItemKey]], count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`count` batches of uint8 images and labels, on the device.

        One set of workers serves all passes over the data, one after the other; passes at the same time get one each.
        """
        if count == 0:
            return
        feed = self.idle.pop() if self.idle else Feed(self.items, self.workers, self.device)
        try:
            batches = feed.run(keys)
            for _ in range(count - 1):
                yield next(batches)
            last = next(batches)
        finally:
            self.idle.append(feed)  # before the last batch is used, which may be when another pass begins
        yield last


class Feed:
    """A DataLoader that is told its batches before each pass, so that its workers live on between passes."""

    def __init__(self, items: "Items", workers: int, device: torch.device) -> None:
        self.device = device
        context = None
        if workers:
            # Workers are forked from a server that has these modules and no threads: forking this process, which has
            # threads and perhaps CUDA, can hang.
            method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
            context = multiprocessing.get_context(method)
            context.set_forkserver_preload(["rdrop_exp.data.stream", "timm.data"])
        self.sampler = Sampler()
        self.loader = DataLoader(
            items,
            batch_sampler=self.sampler,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=device.type == "cuda",
            persistent_workers=workers > 0,
            multiprocessing_context=context,
            worker_init_fn=live_with_parent if workers else None,
            generator=torch.Generator(),  # else each pass would draw from the generator that drives dropout
        )

    def run(self, keys: Iterable[list[ItemKey]]) -> Iterator[tuple[Tensor, Tensor]]:
        self.sampler.keys = keys
        for images, labels in self.loader:
            yield send(images, self.device), send(labels, self.device)


class Sampler(torch.utils.data.Sampler[list[ItemKey]]):
    """The batches of the next pass. An object of its own: a cycle through the loader would delay its workers' end."""

    keys: Iterable[list[ItemKey]] = ()

    def __iter__(self) -> Iterator[list[ItemKey]]:
        return iter(self.keys)


class Items(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """One transformed image (channels, size, size) uint8 and its label, by `ItemKey`."""

    def __init__(self, source: Source, transforms: tuple[Any, Any], seed: int) -> None:
        self.source, self.seed = source, seed
        self.training, self.evaluation = transforms

    def __getitem__(self, key: ItemKey) -> tuple[Tensor, int]:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: list[ItemKey]) -> list[tuple[Tensor, int]]:
        """What torch's loader calls for a batch."""
        with generators_kept():
            return [(self._image(*key), int(self.source.labels[key[1]])) for key in keys]

    def _image(self, epoch: int | None, item: int) -> Any:
        picture = self.source.picture(item)
        if epoch is None:
            return self.evaluation(picture)
        seed_generators(derive_seed(self.seed, "item", epoch, item))
        return self.training(picture)


def transforms(options: Dataset, spec: Spec, mean: list[float], std: list[float], framed: bool) -> tuple[Any, Any]:
    """timm's transforms of a PIL image into a uint8 tensor, for training and for evaluation.

    Evaluation sees the middle 87.5 % of each side, as is usual for photographs, or all of an image already `framed`.
    """
    from timm.data import auto_augment
    from timm.data.transforms_factory import transforms_imagenet_eval, transforms_imagenet_train

    auto_augment.NAME_TO_OP |= {name: posterize for name in auto_augment.NAME_TO_OP if name.startswith("Posterize")}
    low, high = options.scale if len(options.scale) == 2 else (0.0, 0.0)
    if not 0 < low <= high <= 1:
        raise OptionError(f"dataset.scale={options.scale} must be two shares in order, such as [0.08, 1.0]")
    try:
        training = transforms_imagenet_train(
            spec.image_size,
            scale=(low, high),
            hflip=0.5 if options.flip else 0.0,
            color_jitter=options.color_jitter or None,
            force_color_jitter=True,  # together with rand_augment too, where timm would drop it
            auto_augment=options.rand_augment or None,
            interpolation=options.interpolation,
            mean=tuple(mean),
            std=tuple(std),
            normalize=False,
        )
    except (AssertionError, KeyError, ValueError, IndexError) as error:
        raise OptionError(
            f"dataset.rand_augment={options.rand_augment} is not known to timm ({error!r});"
            " an example is rand-m9-mstd0.5-inc1"
        ) from error
    evaluation = transforms_imagenet_eval(
        spec.image_size,
        crop_pct=1.0 if framed else 0.875,
        interpolation="bicubic" if options.interpolation == "random" else options.interpolation,
        normalize=False,
    )
    return training, evaluation


def posterize(image: Any, bits: int, **_: Any) -> Any:
    """timm's operation. It may ask for 0 bits, a black image, which Pillow refuses from version 13 on."""
    from PIL import ImageOps

    return ImageOps.posterize(image, min(bits, 8)) if bits > 0 else image.point([0] * 256 * len(image.getbands()))


def collate(items: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    return torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items])


def live_with_parent(worker: int) -> None:
    """Let the training process alone decide when a worker ends: not at Ctrl-C, which reaches both, but when it dies.

    torch watches the worker's own parent, which is the fork server, and that lives as long as its workers do.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
