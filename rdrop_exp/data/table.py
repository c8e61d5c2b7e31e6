"""Data sets as a table: one row per image with its file name and label, and perhaps its set and group."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.data.delimited import Row, plain, read_table
from rdrop_exp.data.listing import COMMON_WORDS, Item, Listing, counted, dataset_root, place, set_name
from rdrop_exp.data.pixels import extensions


class Columns(NamedTuple):
    """Positions of the columns; None: the table has no such column."""

    image: int
    label: int
    group: int | None
    split: int | None


def image_csv(options: Dataset) -> Listing:
    """The rows of `dataset.csv`; without a column of sets all of them are for training, to be split."""
    file = dataset_root(options) / options.csv
    if not file.is_file():
        raise OptionError(f"dataset.csv={options.csv}: file not found in {place(options)}")
    wanted = (options.image_column, options.label_column)
    columns, rows = read_table(file, f"dataset.csv={options.csv}", wanted)
    positions = _columns(options, columns, rows)
    entries = _entries(options, file.parent, positions, rows)
    items, repeated = _merge(options, entries)
    if "train" not in items:
        raise OptionError(f"dataset.csv={options.csv} has no row for training: {file}")
    split = positions.split
    unassigned = sum(not row[split] for _, row in rows) if split is not None else 0
    notes = [f"{counted(repeated, 'repeated row')} merged"] if repeated else []
    notes += [f"{counted(unassigned, 'row')} without a {options.split_column} used for training"] if unassigned else []
    return Listing(items, dict.fromkeys(items, f"column {columns[split]}") if split is not None else {}, notes)


def _entries(options: Dataset, folder: Path, columns: Columns, rows: list[Row]) -> Iterator[tuple[int, str, Item]]:
    """Line number, set and image of each row."""
    locate = _Locator(folder)
    for line, row in rows:
        where = f"dataset.csv={options.csv}, line {line}"
        for position, option in ((columns.image, "image_column"), (columns.label, "label_column")):
            if not row[position]:
                raise OptionError(f"{where}: no value in column {getattr(options, option)}")
        part = row[columns.split] if columns.split is not None else ""
        name = set_name(part or "train")
        if name is None:
            raise OptionError(f"{where}: {part} is not a split{nearest(part.lower(), COMMON_WORDS)}")
        try:
            path = locate(row[columns.image])
        except FileNotFoundError as error:
            raise OptionError(f"{where}: {error}") from None
        group = row[columns.group] if columns.group is not None else ""
        yield line, name, Item(path, row[columns.image], row[columns.label], group)


def _merge(options: Dataset, entries: Iterable[tuple[int, str, Item]]) -> tuple[dict[str, list[Item]], int]:
    """Set → images, each once, and the number of repeated rows; `OptionError` for rows that contradict each other."""
    items: dict[str, list[Item]] = {}
    known: dict[str, tuple[int, str, Item]] = {}
    groups: dict[str, tuple[int, str]] = {}
    repeated = 0
    for line, name, item in entries:
        where = f"dataset.csv={options.csv}, line {line}"
        path = os.path.normpath(item.path)
        if path in known:
            first, part, same = known[path]
            for what, now, before in (("split", name, part), ("label", item.label, same.label)):
                if now != before:
                    raise OptionError(f"{where}: {item.name} has {what} {now}, but {before} in line {first}")
            repeated += 1
            continue
        known[path] = line, name, item
        first, part = groups.setdefault(item.group, (line, name)) if item.group else (line, name)
        if part != name:
            column = f"{options.group_column} {item.group}"
            raise OptionError(f"{where}: {column} is in split {name}, but in {part} in line {first}")
        items.setdefault(name, []).append(item)
    return items, repeated


def _columns(options: Dataset, columns: list[str], rows: list[Row]) -> Columns:
    image, label, group, split = (
        position(options, option, columns)
        for option in ("image_column", "label_column", "group_column", "split_column")
    )
    assert image is not None
    assert label is not None
    if split is None:
        refuse_other_splits(options, columns, rows, {image, label, group})
    return Columns(image, label, group, split)


def refuse_other_splits(options: Dataset, columns: list[str], rows: list[Row], used: set[int | None]) -> None:
    """`OptionError` where another column than those used holds names of sets."""
    for i, column in enumerate(columns):
        values = {row[i] for _, row in rows} if i not in used else set()
        if len(values) > 1 and all(map(set_name, values)):
            raise OptionError(
                f"dataset.csv={options.csv}: column {column} looks like a split; set dataset.split_column={column}"
            )


def position(options: Dataset, option: str, columns: list[str]) -> int | None:
    """The column that an option names, whatever its case and blanks; None for an optional one that is not there."""
    name = getattr(options, option)
    if not name and option in ("group_column", "split_column", "second_column"):
        return None
    matches = [i for i, column in enumerate(columns) if column == name]
    matches = matches or [i for i, column in enumerate(columns) if plain(column) == plain(name)]
    if len(matches) > 1:
        raise OptionError(f"dataset.{option}={name}: {len(matches)} columns of {options.csv} have this name")
    if not matches and (option, name) != ("split_column", "split"):
        raise OptionError(f"dataset.{option}={name}: no such column in {options.csv}{nearest(name, columns)}")
    return matches[0] if matches else None


class _Locator:
    """Finds the file of a name in the table's folder or its folder `images`; a name may lack its extension."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stems: dict[str, dict[str, list[str]]] = {}
        """Folder → name without extension → image files."""

    def __call__(self, image: str) -> str:
        """The path of an image; `FileNotFoundError` if there is none, or more than one."""
        names = [image, image.replace("\\", "/")] if "\\" in image else [image]
        paths = [os.path.join(self.folder, *inner, name) for name in names for inner in ((), ("images",))]
        for path in paths:
            if os.path.isfile(path):
                return path
        for path in paths:
            matches = self._stems(os.path.dirname(path)).get(os.path.basename(path), [])
            if len(matches) > 1:
                raise FileNotFoundError(f"{image} could be {' or '.join(matches)}; write the whole name")
            if matches:
                return os.path.join(os.path.dirname(path), matches[0])
        stem = os.path.splitext(os.path.basename(image))[0]
        near = [name for path in paths for name in self._stems(os.path.dirname(path)).get(stem, [])]
        hint = f"; did you mean {near[0]}?" if near else ""
        raise FileNotFoundError(f"image {image} not found in {self.folder} or {self.folder / 'images'}{hint}")

    def _stems(self, folder: str) -> dict[str, list[str]]:
        if folder not in self.stems:
            stems = self.stems[folder] = defaultdict(list)
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                stem, ending = os.path.splitext(name)
                if ending.lower() in extensions() and not name.startswith("."):
                    stems[stem].append(name)
        return self.stems[folder]
