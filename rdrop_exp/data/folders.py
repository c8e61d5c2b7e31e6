"""Data sets as folders: a folder per class, or train, val and test folders that hold one per class."""

import os
from collections import Counter
from pathlib import Path
from typing import NoReturn

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.listing import (
    SETS,
    Item,
    Listing,
    by_ending,
    counted,
    dataset_root,
    mentions_set,
    place,
    set_name,
    shortened,
)
from rdrop_exp.data.pixels import extensions

SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN")


def image_folder(options: Dataset) -> Listing:
    """The images of `dataset.root`, whose folders are classes or sets (`dataset.layout`)."""
    root = dataset_root(options)
    folders = _visible(root)
    layout = options.layout if options.layout != "auto" else _guess_layout(options, root, folders)
    return _classes(options, root, folders) if layout == "classes" else _splits(options, root, folders)


def imagenet(options: Dataset) -> Listing:
    """`train/` and `val/`, each with a folder per class; `val/`, whose labels are public, is the test set."""
    root = dataset_root(options)
    items = {}
    for name, folder in (("train", "train"), ("test", "val")):
        if not _visible(root / folder):
            raise OptionError(f"{place(options)}: imagenet needs a folder {folder} with one folder per class")
        items[name] = _class_folders(options, root / folder, Counter())
    return Listing(items, {"train": "folder train", "test": "folder val"})


def _guess_layout(options: Dataset, root: Path, folders: list[str]) -> str:
    """Whether `folders` are classes or sets; `OptionError` where both are possible."""
    sets = [folder for folder in folders if set_name(folder)]
    others = [folder for folder in folders if folder not in sets and _has_images(root / folder)]
    of_classes = [folder for folder in folders if _visible(root / folder) and not _images_in(root / folder)]
    split = [folder for folder in sets if folder in of_classes]
    if split and others:
        raise OptionError(
            f"{place(options)}: {shortened(split)} looks like a split, but {shortened(others)} does not; rename it to"
            " val or test, or set dataset.layout=splits to ignore it, or dataset.layout=classes if all are classes"
        )
    if sets and not split and not others:
        raise OptionError(
            f"{place(options)}: no class folders inside {shortened(sets)}; sort the images into one folder per class,"
            " or set dataset.layout=classes if these are the classes"
        )
    if unclear := [folder for folder in of_classes if folder not in sets and mentions_set(folder)]:
        raise OptionError(
            f"{place(options)}: {shortened(unclear)} could be splits; rename them to train, val and test, or set"
            " dataset.layout=classes if they are classes"
        )
    for folder in of_classes if not split else ():
        inner = {set_name(name): name for name in _visible(root / folder)}
        if None not in inner and len(inner) > 1:
            raise OptionError(
                f"{place(options)}: class folder {folder} holds {shortened(sorted(filter(None, inner.values())))}; put"
                f" the splits outside (train/{folder}), or set dataset.layout=classes to merge them"
            )
    return "splits" if split else "classes"


def _classes(options: Dataset, root: Path, folders: list[str]) -> Listing:
    if not folders:
        loose = len(_images_in(root))
        raise OptionError(
            f"{place(options)}: no class folders"
            + (f", only {counted(loose, 'image')}; list their labels in a table (dataset=image_csv)" if loose else "")
        )
    if len(folders) == 1 and len(_visible(root / folders[0])) > 1 and not _images_in(root / folders[0]):
        raise OptionError(f"{place(options)} holds a single folder: did you mean dataset.root={root / folders[0]}?")
    ignored: Counter[str] = Counter()
    items = _class_folders(options, root, ignored)
    return Listing({"train": items}, notes=_notes(ignored, len(_images_in(root))))


def _splits(options: Dataset, root: Path, folders: list[str]) -> Listing:
    chosen: dict[str, str] = {}
    for folder in folders:
        if name := set_name(folder):
            if name in chosen:
                raise OptionError(f"{place(options)}: {chosen[name]} and {folder} both mean the {name} set; rename one")
            chosen[name] = folder
    if "train" not in chosen:
        there = f"only {shortened(folders)}" if folders else "nothing"
        raise OptionError(f"{place(options)}: no folder train, {there}")
    items, origins, notes, ignored, loose = {}, {}, [], Counter[str](), 0
    for name in (name for name in SETS if name in chosen):
        inside = root / chosen[name]
        while [set_name(inner) for inner in _visible(inside)] == [name]:  # archives that hold train/train/CLASS
            inside = inside / _visible(inside)[0]
        images = len(_images_in(inside))
        if not _visible(inside):
            if not images or name == "train":
                raise OptionError(f"{place(options)}: no class folders in {inside}")
            notes.append(f"folder {chosen[name]} not used (no class folders)")
            continue
        loose += images
        items[name], origins[name] = _class_folders(options, inside, ignored), f"folder {chosen[name]}"
    others = [folder for folder in folders if set_name(folder) is None]
    if others:
        notes.append(f"not used: {shortened(others)}")
    return Listing(items, origins, [*notes, *_notes(ignored, loose)])


def _notes(ignored: Counter[str], loose: int) -> list[str]:
    outside = f"{counted(loose, 'image')} outside class folders ignored" if loose else ""
    return [note for note in (by_ending(ignored), outside) if note]


def _class_folders(options: Dataset, folder: Path, ignored: Counter[str]) -> list[Item]:
    """The images below each of `folder`'s folders; adds the endings of all other files to `ignored`."""
    root, readable = dataset_root(options), extensions()
    items: list[Item] = []
    for label in _visible(folder):
        others: Counter[str] = Counter()
        before = len(items)
        for directory, inner, files in os.walk(folder / label, onerror=_refuse, followlinks=True):
            if _is_loop(directory):
                inner.clear()
                continue
            inner[:] = sorted(i for i in inner if not i.startswith("."))
            prefix = os.path.relpath(directory, root).replace(os.sep, "/")
            for file in sorted(files):
                ending = os.path.splitext(file)[1].lower()
                if file.startswith("."):
                    continue
                if ending in readable:
                    items.append(Item(os.path.join(directory, file), f"{prefix}/{file}", label))
                else:
                    others[ending] += 1
        if len(items) == before:
            what = f"no readable image ({by_ending(others)})" if others else "no images"
            raise OptionError(
                f"{place(options)}: {what} in class folder {folder / label}; add images or remove the folder"
            )
        ignored.update(others)
    return items


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError as error:
        _refuse(error)


def _refuse(error: OSError) -> NoReturn:
    raise OptionError(f"cannot read folder {error.filename}: {error.strerror}")


def _is_loop(directory: str) -> bool:
    """Whether this is a link to a folder that contains it."""
    if not os.path.islink(directory):
        return False
    parent, target = os.path.realpath(os.path.dirname(directory)), os.path.realpath(directory)
    return os.path.commonpath([parent, target]) == target


def _visible(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    names = (entry.name for entry in _entries(folder) if entry.is_dir())
    return sorted(name for name in names if not name.startswith(".") and name not in SYSTEM_FOLDERS)


def _images_in(folder: Path) -> list[str]:
    readable = extensions()
    names = (entry.name for entry in _entries(folder) if entry.is_file())
    return [name for name in names if not name.startswith(".") and os.path.splitext(name)[1].lower() in readable]


def _has_images(folder: Path) -> bool:
    readable = extensions()
    return any(os.path.splitext(file)[1].lower() in readable for _, _, files in os.walk(folder) for file in files)
