"""Small image files, folders and tables, and what holds for every data set that is read."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.data import datasets


def load(root: Path, name: str = "image_folder", **values: object) -> datasets.Source:
    return datasets.load(options(name=name, root=str(root), **values))


def options(**values: object) -> Dataset:
    """Streamed unless the values say otherwise: images of different sizes are fine."""
    return Dataset(**{"resident": False, **values})  # type: ignore[arg-type]


def image(path: Path, colour: int, size: tuple[int, int] = (8, 8)) -> None:
    """One colour, another for each number, with the number itself as its red value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour % 256, 255 - colour % 256, 7 + colour // 256)).save(path)


def folder(root: Path, counts: dict[str, int]) -> None:
    """`counts` images in each folder, named by its path below `root`; no two are the same."""
    number = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image(root / name / f"{i}.png", number)
            number += 1


def table(root: Path, rows: list[dict[str, str]], name: str = "labels.csv", delimiter: str = ",") -> None:
    with open(root / name, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if name.endswith("tsv") else delimiter)
        writer.writeheader()
        writer.writerows(rows)


def sizes(source: datasets.Source) -> dict[str, int]:
    return {name: len(items) for name, items in source.sets.items()}


def check_sets(source: datasets.Source) -> None:
    """Three sets that are disjoint and together complete, with every class in the training set."""
    assert set(source.sets) == {"train", "test", "validation"}
    assert all(len(items) for items in source.sets.values())
    assert sorted(np.concatenate(list(source.sets.values()))) == list(range(len(source.labels)))
    assert set(source.labels) == set(source.labels[source.sets["train"]])
    counts = {name: sum(of_class.values()) for name, of_class in source.counts.items()}
    assert counts == sizes(source)
