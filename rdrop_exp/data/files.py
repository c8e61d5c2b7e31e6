"""Image files: folders of classes, tables of names and labels, and reading one image."""

import csv
import os
from pathlib import Path

from rdrop_exp.config.options import Dataset
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.data.pixels import extensions

Rows = dict[str, list[tuple[str, str]]]
"""Set → (path, class name) of each image."""

ALIASES = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
"""What folders and the column `split` call the sets."""


def image_folder(options: Dataset) -> Rows:
    """`train/`, and `val/` and `test/` where there are, each with a folder a class; or just the folders of classes."""
    root = _root(options)
    if (root / "train").is_dir():
        rows: Rows = {}
        for alias, name in ALIASES.items():
            if name not in rows and (found := _classes(root / alias)):
                rows[name] = found
    else:
        if stray := [alias for alias in ALIASES if (root / alias).is_dir()]:
            raise OptionError(f"dataset.root={options.root} has a folder {stray[0]} but no folder train beside it")
        rows = {"train": _classes(root)}
    if not rows.get("train"):
        raise OptionError(
            f"dataset.root={options.root} holds no image: looked for one folder a class in {root / 'train'} and {root}"
        )
    return rows


def imagenet(options: Dataset) -> Rows:
    """`train/` and `val/`, each with a folder a class; `val/`, whose labels are public, is the test set."""
    root = _root(options)
    rows = {name: _classes(root / folder) for name, folder in (("train", "train"), ("test", "val"))}
    if not all(rows.values()):
        raise OptionError(
            f"dataset.root={options.root} does not hold imagenet: looked for one folder a class in {root / 'train'}"
            f" and in {root / 'val'}"
        )
    return rows


def image_csv(options: Dataset) -> Rows:
    """The rows of a table; without a column `split` all of them are for training, to be split."""
    table = _root(options) / options.csv
    if not table.is_file():
        raise OptionError(
            f"dataset.csv={options.csv} is no file of dataset.root={options.root}: looked for {table.absolute()}"
        )
    rows: Rows = {}
    with open(table, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, delimiter="\t" if table.suffix == ".tsv" else ",")
        columns = list(reader.fieldnames or [])
        for option, column in (("image_column", options.image_column), ("label_column", options.label_column)):
            if column not in columns:
                raise OptionError(f"dataset.{option}={column} is no column of {table}{nearest(column, columns)}")
        for row in reader:
            image, label = (row[options.image_column] or "").strip(), (row[options.label_column] or "").strip()
            split = (row.get("split") or "train").strip().lower()
            if not image or not label:
                raise OptionError(f"dataset.csv={options.csv} has a row without image or label: line {reader.line_num}")
            if split not in ALIASES:
                raise OptionError(
                    f"dataset.csv={options.csv} has a split {split} in line {reader.line_num}{nearest(split, ALIASES)}"
                )
            rows.setdefault(ALIASES[split], []).append((_locate(table.parent, image, reader.line_num), label))
    if "train" not in rows:
        raise OptionError(f"dataset.csv={options.csv} has no row for training: {table}")
    return rows


def class_names(rows: Rows) -> list[str]:
    """The classes in order (of value where all are numbers), each of which must have a training image."""
    trained = {name for _, name in rows["train"]}
    for part, items in rows.items():
        for path, name in items:
            if name not in trained:
                raise OptionError(f"class {name} of the {part} set has no training image: {path}")
    if len(trained) < 2:
        raise OptionError(f"a data set needs two classes, but every training image is of class {trained.pop()}")
    try:
        return sorted(trained, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(trained)


def _root(options: Dataset) -> Path:
    root = Path(options.root).expanduser()
    if not root.is_dir():
        raise OptionError(f"dataset.root={options.root} is no folder: looked for {options.name} in {root.absolute()}")
    return root


def _classes(folder: Path) -> list[tuple[str, str]]:
    """(path, class) of every image below `folder`'s own folders; hidden files and folders are left out."""
    found, readable = [], tuple(extensions())
    for name in _visible(folder):
        for directory, inner, files in os.walk(folder / name, followlinks=True):
            inner[:] = sorted(i for i in inner if not i.startswith("."))
            images = sorted(f for f in files if f.lower().endswith(readable) and not f.startswith("."))
            found += [(os.path.join(directory, image), name) for image in images]
    return found


def _visible(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _locate(folder: Path, image: str, line: int) -> str:
    for path in (folder / image, folder / "images" / image):
        if path.is_file():
            return str(path)
    raise OptionError(f"image {image} of line {line} is not there: looked in {folder} and {folder / 'images'}")
