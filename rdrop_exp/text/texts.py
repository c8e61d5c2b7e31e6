"""A text data set as plain values: texts, labels and three sets; no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["class", "value", "set", "language", "pair"]
"""Of the target: a class, a number, a set of classes, the next token, or another text."""


@dataclass(slots=True)
class Part:
    """The items of one set as a file gives them."""

    file: str = ""
    """Empty: made by a program."""
    first: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)
    """The second text of a pair, or the target text; empty: none."""
    labels: list[Any] = field(default_factory=list)
    """Class names, numbers or lists of class names, one for each item; empty for language and pair."""
    lines: list[int] = field(default_factory=list)
    """The line of each item in the file; empty: the first line is the first item."""

    def add(self, line: int, first: str, second: str = "") -> None:
        """An item with one text, or two."""
        self.first.append(first)
        if second:
            self.second.append(second)
        self.lines.append(line)

    def where(self, item: int) -> str:
        """The place of an item in messages."""
        line = self.lines[item] if self.lines else item + 1
        return f"{self.file}, line {line}" if self.file else f"item {line}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """All items of a data set, and the positions of its three sets."""

    kind: Kind
    first: list[str]
    second: list[str]
    labels: NDArray[Any]
    """(items,) int64 classes or float32 numbers, (items, classes) float32 of sets of classes, or (0,)."""
    classes: list[str]
    sets: dict[str, NDArray[np.int64]]
    metric: str
    """What validation selects by, where the data set has a metric of its own; empty: the task's."""
    summary: str
    counts: dict[str, dict[str, int]]
    fingerprint: str
    """Of files of the user's own; `read` sets it."""
    parts: dict[str, Part]
    """As they were read, one after the other."""

    def where(self, item: int) -> str:
        """File and line of an item, for messages."""
        for part in self.parts.values():
            if item < len(part.first):
                return part.where(item)
            item -= len(part.first)
        raise IndexError(item)


def assemble(
    options: Dataset,
    kind: Kind,
    parts: dict[str, Part],
    *,
    metric: str = "",
    classes: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Texts:
    """The parts ("train", perhaps "validation" and "test") as one data set; missing sets are split off, by class.

    Without `classes` they are those of the training part.
    """
    import numpy as np

    from rdrop_exp.data.splits import three_sets
    from rdrop_exp.data.summary import class_counts, ignored

    ends = np.cumsum([len(part.first) for part in parts.values()])
    given = {name: np.arange(end - len(part.first), end) for (name, part), end in zip(parts.items(), ends, strict=True)}
    first = [text for part in parts.values() for text in part.first]
    second = [text for part in parts.values() for text in part.second]
    names, labels = _encoded(kind, parts, list(classes))
    strata = labels if kind == "class" else np.zeros(len(first), np.int64)
    sets = given if kind == "language" else three_sets(strata, given, options)
    return Texts(
        kind=kind,
        first=first,
        second=second,
        labels=labels,
        classes=names,
        sets=sets,
        metric=metric,
        summary="; ".join([_summary(options, kind, names, sets, set(parts)), *notes, *ignored(options, set(parts))]),
        counts=class_counts(labels, sets, names) if kind == "class" else {},
        fingerprint=options.name,
        parts=parts,
    )


def _encoded(kind: Kind, parts: dict[str, Part], classes: list[str]) -> tuple[list[str], NDArray[Any]]:
    """The classes, and the labels as `Texts.labels`; `OptionError` for a class without a training item."""
    import numpy as np

    if kind in ("language", "pair"):
        return [], np.zeros(0, np.int64)
    raw = [label for part in parts.values() for label in part.labels]
    if kind == "value":
        return [], np.asarray(raw, np.float32)
    several = kind == "set"
    trained = {name for label in parts["train"].labels for name in (label if several else [label])}
    classes = classes or sorted(trained, key=_natural)
    index = {name: i for i, name in enumerate(classes)}
    for name, part in parts.items():
        for i, label in enumerate(part.labels):
            for each in label if several else [label]:
                if each not in index:
                    raise OptionError(
                        f"{part.where(i)}: class {each} of the {name} set has no training text{nearest(each, index)}"
                    )
    if len(classes) < 2 and not several:
        raise OptionError(f"{parts['train'].file} has a single class, {classes[0]}: there is nothing to learn")
    if not classes:
        raise OptionError(f"{parts['train'].file} has no labels")
    if not several:
        return classes, np.asarray([index[label] for label in raw], np.int64)
    labels = np.zeros((len(raw), len(classes)), np.float32)
    for row, names in zip(labels, raw, strict=True):
        row[[index[name] for name in names]] = 1
    return classes, labels


def _natural(name: str) -> tuple[int, float, str]:
    """Numbers by value, then words."""
    try:
        value = float(name)
    except ValueError:
        value = math.nan
    return (0, value, name) if math.isfinite(value) else (1, 0.0, name)


def _summary(options: Dataset, kind: Kind, classes: list[str], sets: dict[str, Any], given: set[str]) -> str:
    from rdrop_exp.data.listing import shortened

    what = {"value": "a number each", "language": "language modelling", "pair": "text to text"}.get(kind)
    what = what or f"{len(classes)} {'labels' if kind == 'set' else 'classes'} ({shortened(classes)})"
    shares = {"validation": f"{100 * options.validation:.3g}% of train", "test": f"{100 * options.test:.3g}% of all"}
    kept = f" ({100 * options.fraction:.3g}% of it)" if options.fraction < 1 else ""
    unit = {"language": " paragraphs", "pair": " pairs"}.get(kind, "")
    words = [f"{len(sets['train']):,}{unit} train{kept}"]
    for part in ("validation", "test"):
        words.append(f"{len(sets[part]):,} {part}" + ("" if part in given else f" ({shares[part]})"))
    return f"{options.label or options.name}: {what}, {', '.join(words)}"
