"""A text data set as plain values: texts, labels and three sets; no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rdrop_exp.config.options import Dataset
from rdrop_exp.config.schema import OptionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["class", "value", "set", "language", "pair"]
"""Of the target: a class, a number, a set of classes, the next token, or another text."""


@dataclass(slots=True)
class Part:
    """The items of one set as a file gives them."""

    first: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)
    """The second text of a pair, or the target text; empty: none."""
    labels: list[Any] = field(default_factory=list)
    """Class names, numbers or lists of class names, one for each item; empty for language and pair."""


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


def assemble(
    options: Dataset, kind: Kind, parts: dict[str, Part], *, metric: str = "", notes: list[str] | None = None
) -> Texts:
    """The parts ("train", perhaps "validation" and "test") as one data set; missing sets are split off, by class."""
    import numpy as np

    from rdrop_exp.data.splits import three_sets

    for part, content in parts.items():
        if not content.first:
            raise OptionError(f"{options.name}: its {part} set is empty")
    ends = np.cumsum([len(part.first) for part in parts.values()])
    given = {name: np.arange(end - len(part.first), end) for (name, part), end in zip(parts.items(), ends, strict=True)}
    first = [text for part in parts.values() for text in part.first]
    second = [text for part in parts.values() for text in part.second]
    raw = [label for part in parts.values() for label in part.labels]
    classes, labels = _encoded(kind, raw)
    strata = labels if kind == "class" else np.zeros(len(first), np.int64)
    sets = given if kind == "language" else three_sets(strata, given, options)
    return Texts(
        kind=kind,
        first=first,
        second=second,
        labels=labels,
        classes=classes,
        sets=sets,
        metric=metric,
        summary="; ".join([_summary(options, kind, classes, sets, set(parts)), *(notes or [])]),
        counts=_counts(labels, classes, sets) if kind == "class" else {},
        fingerprint=_fingerprint(first, second, raw) if options.name == "text_csv" else options.name,
    )


def _encoded(kind: Kind, raw: list[Any]) -> tuple[list[str], NDArray[Any]]:
    import numpy as np

    if kind == "value":
        return [], np.asarray(raw, np.float32)
    if kind in ("language", "pair"):
        return [], np.zeros(0, np.int64)
    classes = sorted({name for label in raw for name in (label if kind == "set" else [label])}, key=_natural)
    index = {name: i for i, name in enumerate(classes)}
    if kind == "class":
        return classes, np.asarray([index[label] for label in raw], np.int64)
    labels = np.zeros((len(raw), len(classes)), np.float32)
    for row, names in zip(labels, raw, strict=True):
        row[[index[name] for name in names]] = 1
    return classes, labels


def _natural(name: str) -> tuple[int, float, str]:
    """Numbers by value, then words."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


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
    return f"{options.name}: {what}, {', '.join(words)}"


def _counts(labels: NDArray[Any], classes: list[str], sets: dict[str, Any]) -> dict[str, dict[str, int]]:
    from rdrop_exp.data.summary import class_counts

    return class_counts(labels, sets, classes)


def _fingerprint(first: list[str], second: list[str], raw: list[Any]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in (first, second, map(str, raw)):
        for text in part:
            digest.update(text.encode(errors="replace") + b"\0")
    return digest.hexdigest()
