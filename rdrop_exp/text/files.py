"""Lines of a text file that anyone may have written, plain or gzipped; every error names file and line."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.data.delimited import read_text
from rdrop_exp.data.listing import dataset_root

Files = dict[str, tuple[Path, ...]]
"""Set ("train", perhaps "validation" and "test") → the files that hold it."""

STEMS = {"train": ("train",), "validation": ("val", "valid", "validation", "dev"), "test": ("test",)}
"""What the files of each set are called."""


def root_of(options: Dataset, *folders: str) -> Path:
    """The first of these folders inside `root` that exists, or else `root`; `OptionError` where it is not a folder."""
    root = dataset_root(options)
    return next((root / folder for folder in folders if (root / folder).is_dir()), root)


def find(root: Path, names: Sequence[str]) -> Path | None:
    """The first of these files that exists in `root`, also gzipped."""
    paths = (root / f"{name}{ending}" for name in names for ending in ("", ".gz"))
    return next((path for path in paths if path.exists()), None)


def needed(root: Path, names: Sequence[str]) -> Path:
    """As `find`; `OptionError` where there is none."""
    path = find(root, names)
    if path is None:
        present = sorted(each.name for each in root.iterdir())
        raise OptionError(f"dataset.root={root}: no {' or '.join(names)} in this folder{nearest(names[0], present)}")
    return path


def read_lines(path: Path) -> list[str]:
    """The lines without their ends; `OptionError` where the file cannot be read, is empty or not in UTF-8."""
    lines = read_text(path).split("\n")  # not splitlines: texts hold other separators, such as U+2028
    lines = [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
    if not any(map(str.strip, lines)):
        raise OptionError(f"{path} is empty")
    return lines


def read_tsv(path: Path, header: bool) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Column names (empty without a header) and rows with their line numbers; quotes are ordinary characters."""
    lines = read_lines(path)
    names = lines[0].split("\t") if header else []
    if len(lines) == header:
        raise OptionError(f"{path} has no line after its header")
    return names, ((number, line.split("\t")) for number, line in enumerate(lines[header:], 1 + header))


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """The objects of a file of JSON lines, with their line numbers."""
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise OptionError(f"{path}, line {number}: not a JSON object")
        yield number, value


def column(path: Path, names: Sequence[str], wanted: str, option: str = "") -> int:
    """The position of a column, or of the first of several separated by |; `option` names it in the error."""
    for name in wanted.split("|"):
        if name in names:
            return names.index(name)
    first = wanted.partition("|")[0]
    if option:
        raise OptionError(f"{option}={first}: no such column in {path}{nearest(first, names)}")
    raise OptionError(f"{path}, line 1: no column {first}{nearest(first, names)}")


def checked_text(path: Path, line: int, text: str) -> str:
    """Without surrounding blanks; `OptionError` where nothing is left or it holds a part of a character."""
    text = text.strip()
    if not text:
        raise OptionError(f"{path}, line {line}: the text is empty")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise OptionError(f"{path}, line {line}: the text holds half a character (a lone surrogate)")
    return text


def checked_number(path: Path, line: int, text: str, low: float = -1e30, high: float = 1e30) -> float:
    """A finite number from `low` to `high`; else `OptionError`."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        limits = f" from {low:g} to {high:g}" if high < 1e30 else ""
        raise OptionError(f"{path}, line {line}: the label {text.strip()!r} is not a number{limits}")
    return value
