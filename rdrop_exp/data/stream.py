"""Images decoded and augmented on the fly by worker processes, and normalised on the device."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from multiprocessing import forkserver, resource_tracker
from typing import Any

import torch
import torch.utils.data
from torch import Tensor
from torch.utils.data import DataLoader

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.augment import Augment, preserve_generators, seed_generators, send, statistics
from rdrop_exp.data.batch import Batch, Spec
from rdrop_exp.data.datasets import IMAGENET_MEAN, IMAGENET_STD, Source
from rdrop_exp.data.sampler import EpochSampler
from rdrop_exp.data.shard import Shard
from rdrop_exp.hardware import cores, local_ranks
from rdrop_exp.seeds import derive_seed

ItemKey = tuple[int | None, int]
"""(epoch, position) of an image to train on, (None, position) of one to evaluate."""


class Streamed:
    """`Data` for sets that exceed memory, or whose augmentation works on single images."""

    def __init__(self, source: Source, options: Dataset, *, batch_size: int, seed: int, device: torch.device) -> None:
        size, mean, std = 224, source.mean or IMAGENET_MEAN, source.std or IMAGENET_STD
        if source.images is not None:
            size = source.images.shape[-1]
            if source.mean is None:
                mean, std = statistics(source.images, source.sets["train"])
        self.spec = Spec(source.classes, source.channels, options.image_size or size)
        self.sampler = EpochSampler(source.sets, options, batch_size, seed)
        self.augment = Augment(options, self.spec, mean, std, device)
        self.device, self.steps_per_epoch, self.sizes = device, self.sampler.steps, self.sampler.sizes
        self.batch_size, self.train_items = self.sampler.train_batch_size, self.sampler.train_items
        self.summary, self.counts, self.fingerprint = source.summary, source.counts, source.fingerprint
        self.items = Items(source, transforms(options, self.spec, mean, std, framed=source.images is not None), seed)
        self.workers = min(max(1, cores() // local_ranks()), 8) if options.workers is None else options.workers
        self.shard = Shard()
        self.idle: list[PersistentLoader] = []

    def train(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        part = self.sampler.part(self.shard)
        order = self.sampler.train_batches(epoch)[start:, part.read]
        _, seed_epoch, _ = self.sampler.key(epoch, start)
        keys: Iterator[list[ItemKey]] = ([(seed_epoch, item) for item in items.tolist()] for items in order)
        for step, (images, labels) in enumerate(self._batches(keys, len(order)), start):
            yield self.augment.train(images, labels, self.sampler.key(epoch, step), part)

    def validation(self) -> Iterator[Batch]:
        return self._evaluation("validation")

    def test(self) -> Iterator[Batch]:
        return self._evaluation("test")

    def given(self, batches: list[Tensor], draws: int | None) -> Iterator[Batch]:
        epoch = None if draws is None else -1 - draws
        keys: Iterator[list[ItemKey]] = ([(epoch, item) for item in items.tolist()] for items in batches)
        for step, (images, labels) in enumerate(self._batches(keys, len(batches))):
            yield self.augment.given(images, labels, self.sampler.given_key(draws, step))

    def _evaluation(self, name: str) -> Iterator[Batch]:
        batches = self.shard.evaluated(self.sampler.evaluation_batches(name))
        keys: Iterator[list[ItemKey]] = ([(None, item) for item in items.tolist()] for items in batches)
        for images, labels in self._batches(keys, len(batches)):
            yield self.augment.evaluate(images, labels)

    def _batches(self, keys: Iterable[list[ItemKey]], count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`count` batches of uint8 images and labels, on the device.

        Consecutive passes over the data share one set of workers; simultaneous passes get one each.
        """
        if count == 0:
            return
        loader = self.idle.pop() if self.idle else PersistentLoader(self.items, self.workers, self.device)
        try:
            batches = loader.run(keys)
            for _ in range(count - 1):
                yield next(batches)
            last = next(batches)
        finally:
            self.idle.append(loader)  # before the last batch is used: another pass may begin then
        yield last


def start_fork_server() -> None:
    """Start it, and so its workers, deaf to what ends a process group (Ctrl-C, `timeout`, Slurm).

    The training process has yet to save a checkpoint, for which it may wait for a batch. A signal mask is inherited.
    """
    resource_tracker.ensure_running()  # the server would start it, which unblocks these signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class PersistentLoader:
    """A DataLoader whose batches are set before each pass, so that its workers survive between passes."""

    def __init__(self, items: "Items", workers: int, device: torch.device) -> None:
        self.device = device
        context = None
        if workers:
            # A fork server without threads starts the workers: forking this process, which has threads and perhaps
            # CUDA, can hang.
            method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
            context = multiprocessing.get_context(method)
            context.set_forkserver_preload(["rdrop_exp.data.stream", "timm.data"])
            if method == "forkserver":
                start_fork_server()
        self.batch_keys = BatchKeys()
        self.loader = DataLoader(
            items,
            batch_sampler=self.batch_keys,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=device.type == "cuda",
            persistent_workers=workers > 0,
            multiprocessing_context=context,
            worker_init_fn=follow_parent if workers else None,
            generator=torch.Generator(),  # otherwise each pass would advance the generator that dropout uses
        )

    def run(self, keys: Iterable[list[ItemKey]]) -> Iterator[tuple[Tensor, Tensor]]:
        self.batch_keys.keys = keys
        for images, labels in self.loader:
            yield send(images, self.device), send(labels, self.device)


class BatchKeys(torch.utils.data.Sampler[list[ItemKey]]):
    """The batches of the next pass. Separate: a reference cycle through the loader would keep its workers alive."""

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
        """A batch, as torch's loader asks for it."""
        with preserve_generators():
            return [(self._image(*key), int(self.source.labels[key[1]])) for key in keys]

    def _image(self, epoch: int | None, item: int) -> Any:
        picture = self.source.picture(item)
        if epoch is None:
            return self.evaluation(picture)
        seed_generators(derive_seed(self.seed, "item", epoch, item))
        return self.training(picture)


def transforms(options: Dataset, spec: Spec, mean: list[float], std: list[float], framed: bool) -> tuple[Any, Any]:
    """timm's transforms of a PIL image into a uint8 tensor, for training and for evaluation.

    Evaluation uses the central 87.5 % of each side, as is usual for photographs, or the whole image if `framed`.
    """
    from timm.data import auto_augment
    from timm.data.transforms_factory import transforms_imagenet_eval, transforms_imagenet_train

    auto_augment.NAME_TO_OP |= {name: posterize for name in auto_augment.NAME_TO_OP if name.startswith("Posterize")}
    low, high = options.scale if len(options.scale) == 2 else (0.0, 0.0)
    if not 0 < low <= high <= 1:
        raise OptionError(
            f"dataset.scale={options.scale} must be two increasing numbers in (0, 1], such as [0.08, 1.0]"
        )
    try:
        training = transforms_imagenet_train(
            spec.image_size,
            scale=(low, high),
            hflip=0.5 if options.flip else 0.0,
            color_jitter=options.color_jitter or None,
            force_color_jitter=True,  # timm drops it when rand_augment is set
            auto_augment=options.rand_augment or None,
            interpolation=options.interpolation,
            mean=tuple(mean),
            std=tuple(std),
            normalize=False,
        )
    except (AssertionError, KeyError, ValueError, IndexError) as error:
        raise OptionError(
            f"dataset.rand_augment={options.rand_augment} is not a policy that timm knows ({error!r});"
            " example: rand-m9-mstd0.5-inc1"
        ) from error
    evaluation = transforms_imagenet_eval(
        spec.image_size,
        crop_pct=1.0 if framed else 0.875,
        interpolation="bicubic" if options.interpolation == "random" else options.interpolation,
        normalize=False,
    )
    return training, evaluation


def posterize(image: Any, bits: int, **_: Any) -> Any:
    """timm's operation, which may ask for 0 bits (a black image); Pillow 13 refuses that."""
    from PIL import ImageOps

    return ImageOps.posterize(image, min(bits, 8)) if bits > 0 else image.point([0] * 256 * len(image.getbands()))


def collate(items: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    return torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items])


def follow_parent(worker: int) -> None:
    """Tie a worker's life to the training process: exit when that process dies.

    torch watches the worker's direct parent, the fork server, which outlives the training process.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
