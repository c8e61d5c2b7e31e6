"""Large images from files: the streamed loader against timm's own, images a second.

    python benchmarks/stream.py                    # 400 images, 2 workers, 7 rounds: about two minutes
    python benchmarks/stream.py --workers 0        # in the training process: no transfer between processes
    python benchmarks/stream.py --tiny             # a smoke test

Generated JPEGs of 500 x 375 pixels and 50 to 100 kB, as ImageNet's are, in folders of classes; the two loaders
alternate, one epoch each, after one that starts the workers and warms the file cache.
The table gives the median round and its range.

Equal: files, decoding (Pillow), random resized crop to 224 (scale 0.08 to 1, bicubic), flip, the auto-augment string,
normalisation of whole batches in the training process, batches, number of workers, workers that live on between
epochs, all in float32 on the CPU. Not equal: ours seeds each image by (seed, epoch, image), so that any epoch can be
resumed, and starts its workers from a fork server; timm's draws from each worker's own generator and forks.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data import create_dataset, create_loader

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.data.datasets import IMAGENET_MEAN, IMAGENET_STD
from rdrop_exp.data.load import load_data

SIZE, CLASSES = (500, 375), 10
CASES = {"crop, flip": "", "crop, flip, rand-m9-mstd0.5-inc1": "rand-m9-mstd0.5-inc1"}


def write_images(root: Path, count: int) -> float:
    """`count` training images, and one a class to validate and to test on; returns the mean size in kB."""
    random = np.random.default_rng(0)
    files = []
    for part, number in (("train", count), ("val", CLASSES), ("test", CLASSES)):
        for i in range(number):
            folder = root / part / f"class_{i % CLASSES}"
            folder.mkdir(parents=True, exist_ok=True)
            files.append(folder / f"{i:05}.jpg")
            picture(random).save(files[-1], quality=90)
    return statistics.mean(file.stat().st_size for file in files) / 1e3


def picture(random: np.random.Generator) -> Image.Image:
    """A gradient with noise at every scale, strong where it is coarse, as in photographs."""
    width, height = SIZE
    slope = np.linspace(0, 1, width)[None, :, None] * random.uniform(-80, 80, 3)
    pixels = 128 + slope + np.linspace(0, 1, height)[:, None, None] * random.uniform(-80, 80, 3)
    for scale in (1, 2, 4, 16, 64):
        coarse = random.normal(0, 1, (-(-height // scale), -(-width // scale), 1)).astype(np.float32)[:, :, 0]
        field = np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC))
        pixels = pixels + 6 * scale**0.5 * field[:, :, None] * random.uniform(0.7, 1, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


Epoch = Callable[[int], Iterable[Any]]


def ours(root: Path, augment: str, batch: int, workers: int) -> Epoch:
    options = Dataset(
        name="image_folder",
        root=str(root),
        resident=False,
        image_size=224,
        flip=True,
        rand_augment=augment,
        workers=workers,
    )
    return load_data(options, batch_size=batch, seed=0, device=torch.device("cpu")).train


def timms(root: Path, augment: str, batch: int, workers: int) -> Epoch:
    loader = create_loader(
        create_dataset("", root=str(root), split="train"),
        (3, 224, 224),
        batch,
        is_training=True,
        scale=(0.08, 1.0),
        hflip=0.5,
        color_jitter=None,
        auto_augment=augment or None,
        interpolation="bicubic",
        mean=tuple(IMAGENET_MEAN),
        std=tuple(IMAGENET_STD),
        num_workers=workers,
        device=torch.device("cpu"),
    )
    return lambda epoch: loader


def images_a_second(batches: Iterable[Any]) -> float:
    start, count = time.perf_counter(), 0
    for batch in batches:
        assert batch[0].dtype == torch.float32
        assert batch[0].shape[1:] == (3, 224, 224)
        count += len(batch[0])
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400, help="in the training set")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tiny", action="store_true", help="64 images, 2 rounds")
    o = parser.parse_args()
    if o.tiny:
        o.images, o.rounds = 64, 2
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        size = write_images(root, o.images)
        print(f"{o.images} JPEGs of {SIZE[0]} x {SIZE[1]}, {size:.0f} kB on average; {o.workers} workers\n")
        print(f"{'images a second':34}{'':8}{'median':>9}{'lowest':>9}{'highest':>9}")
        for case, augment in CASES.items():
            sides = {"timm's": timms, "ours": ours}
            epochs = {side: make(root, augment, o.batch, o.workers) for side, make in sides.items()}
            rounds = [{side: images_a_second(epoch(i)) for side, epoch in epochs.items()} for i in range(o.rounds + 1)][
                1:
            ]  # the first starts the workers
            for side in sides:
                row([case, side], [r[side] for r in rounds], ",.0f")
            row(["", "ratio"], [r["ours"] / r["timm's"] for r in rounds], ".2f")


def row(names: list[str], values: list[float], form: str) -> None:
    numbers = (f(values) for f in (statistics.median, min, max))
    print(f"{names[0]:34}{names[1]:8}" + "".join(f"{number:>9{form}}" for number in numbers))


if __name__ == "__main__":
    main()
