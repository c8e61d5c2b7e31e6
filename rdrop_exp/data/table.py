"""Data sets as a table: one row per image with its file name and label, and perhaps its set and group."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.columns import OwnTable, own_table, table_file
from rdrop_exp.data.listing import Item, Listing, counted
from rdrop_exp.data.pixels import extensions


def image_csv(options: Dataset) -> Listing:
    """The rows of `dataset.csv`; without a column of sets all of them are for training, to be split."""
    file = table_file(options)
    table = own_table(options, file, f"dataset.csv={options.csv}", "image_column", "group_column")
    items, repeated = _merge(options, _entries(options, file.parent, table))
    notes = [f"{counted(repeated, 'repeated row')} merged"] if repeated else []
    return Listing(items, dict.fromkeys(items, table.origin) if table.origin else {}, notes + table.notes)


def _entries(options: Dataset, folder: Path, table: OwnTable) -> Iterator[tuple[int, str, Item]]:
    """Line number, set and image of each row."""
    locate = _Locator(folder)
    for line, name, row in table.rows:
        where = f"dataset.csv={options.csv}, line {line}"
        for position, option in ((table.item, "image_column"), (table.label, "label_column")):
            if not row[position]:
                raise OptionError(f"{where}: no value in column {getattr(options, option)}")
        try:
            path = locate(row[table.item])
        except FileNotFoundError as error:
            raise OptionError(f"{where}: {error}") from None
        group = row[table.other] if table.other is not None else ""
        yield line, name, Item(path, row[table.item], row[table.label], group)


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
