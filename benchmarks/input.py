"""python benchmarks/input.py

Images a second on one core: random crop, flip and normalisation of 32 x 32 colour images, by torchvision's transforms
of PIL images under a DataLoader without workers, and by the resident path on whole batches. Both alternate, so that
the machine is the same for both; the table gives the median round and its range, and the ratio round by round.
`--images N --rounds N --batch N` change the size of it.
"""

import argparse
import statistics
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torchvision import transforms

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.data.datasets import Source
from rdrop_exp.data.published import TORCHVISION
from rdrop_exp.data.resident import Resident

MEAN, STD = TORCHVISION["cifar10"].mean, TORCHVISION["cifar10"].std


class Pictures(torch.utils.data.Dataset[Any]):
    """The images one by one, as torchvision's CIFAR10 gives them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.source.sets["train"])

    def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.source.picture(item)), int(self.source.labels[item])


def images_a_second(batches: Iterable[Any], most: int) -> float:
    """Speed over all batches, or the first that hold `most` images."""
    start, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch[0])
        if count >= most:
            break
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000, help="in the training set")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=128)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    n = arguments.images
    images = np.random.default_rng(0).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    items = np.arange(n)
    sets = {"train": items, "validation": items[:1], "test": items[:1]}
    source = Source(items % 10, sets, 10, 3, images, None, MEAN, STD)
    options = Dataset(name="cifar10", crop=4, flip=True)
    resident = Resident(source, options, batch_size=arguments.batch, seed=0, device=torch.device("cpu"))
    loader = torch.utils.data.DataLoader(Pictures(source), arguments.batch, shuffle=True, drop_last=True)

    slow, fast = [], []
    for round in range(arguments.rounds + 1):
        one, other = images_a_second(loader, n // 10), images_a_second(resident.train(round), n)
        if round:  # the first warms up
            slow.append(one)
            fast.append(other)
    ratios = [other / one for one, other in zip(slow, fast, strict=True)]
    print(f"{'images a second, one core':30}{'median':>10}{'lowest':>10}{'highest':>10}")
    for name, values, form in (
        ("torchvision, PIL, workers=0", slow, ",.0f"),
        ("resident", fast, ",.0f"),
        ("ratio", ratios, ".1f"),
    ):
        print(f"{name:30}" + "".join(f"{f(values):>10{form}}" for f in (statistics.median, min, max)))


if __name__ == "__main__":
    main()
