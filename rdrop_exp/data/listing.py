"""The image files of a data set, by set and class, before any of them is opened."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError, nearest

SETS = {
    "train": ("train", "training", "trn"),
    "validation": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing", "tst"),
}
"""Set → what folders and columns call it, besides `train_set`, `Train Data` and the like."""
WORDS = {word: name for name, words in SETS.items() for word in words}
COMMON_WORDS = ("train", "val", "test")


class Item(NamedTuple):
    path: str
    name: str
    """The file's name inside the data set, wherever that lies."""
    label: str
    group: str = ""
    """What must stay in one set; empty: this item alone."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files, and what a user should know about them."""

    items: dict[str, list[Item]]
    """Set ("train", "validation", "test") → its images; a missing set is to be split off."""
    origins: dict[str, str] = field(default_factory=dict)
    """Set → where it comes from, such as "folder test"."""
    notes: list[str] = field(default_factory=list)


def set_name(word: str) -> str | None:
    """The set that a folder or cell of this name means; None: none."""
    plain = re.sub(r"[\s_.-]+", "", word.casefold())
    return WORDS.get(plain) or WORDS.get(re.sub(r"(set|data|images|split)$", "", plain))


def mentions_set(word: str) -> bool:
    """Whether the name of a set is a part of this one, such as of seg_train or test2017."""
    return any(part in WORDS for part in re.split(r"[^a-z]+", word.casefold()))


def dataset_root(options: Dataset) -> Path:
    root = Path(options.root).expanduser()
    if not root.is_dir():
        raise OptionError(f"{place(options)}: {'not a folder' if root.exists() else 'folder not found'}")
    return root


def place(options: Dataset) -> str:
    """`dataset.root` for messages, and where that is."""
    root = Path(options.root).expanduser()
    return f"dataset.root={options.root}" + ("" if root.is_absolute() else f" ({root.absolute()})")


def class_names(listing: Listing) -> list[str]:
    """The classes, sorted (by value if all are numbers); `OptionError` if one has no training image."""
    trained = {item.label for item in listing.items["train"]}
    for part, items in listing.items.items():
        for item in items:
            if item.label not in trained:
                raise OptionError(
                    f"class {item.label} of the {part} set has no training image: {item.path}"
                    f"{nearest(item.label, trained)}"
                )
    if len(trained) < 2:
        raise OptionError(f"a data set needs two classes, but every training image is of class {trained.pop()}")
    try:
        values = {name: float(name) for name in trained}
    except ValueError:
        return sorted(trained)
    finite = all(map(math.isfinite, values.values()))  # nan has no place in an order
    return sorted(trained, key=lambda name: (values[name], name) if finite else name)


def joined(groups: list[str], copies: list[list[int]]) -> list[int]:
    """A number for each item, equal where two have a group in common or are copies (positions) of each other."""
    first: dict[str, int] = {}
    parents = [first.setdefault(group, i) if group else i for i, group in enumerate(groups)]

    def root(item: int) -> int:
        while parents[item] != item:
            item = parents[item]
        return item

    for same in copies:
        for other in same[1:]:
            parents[root(other)] = root(same[0])
    return [root(item) for item in range(len(groups))]


def shortened(words: Iterable[str], most: int = 5) -> str:
    """The words with commas between them, the later ones of many only counted."""
    words = list(words)
    return ", ".join(words) if len(words) <= most else f"{', '.join(words[:most])}, … {len(words) - most} more"


def counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def by_ending(endings: Counter[str]) -> str:
    """Such as `12 other files ignored (.txt 10, .heic 2)`; empty where there are none."""
    if not endings:
        return ""
    kinds = shortened(f"{ending or 'no extension'} {count}" for ending, count in endings.most_common())
    return f"{counted(endings.total(), 'other file')} ignored ({kinds})"
