"""A table of one's own, with an image or a text and a label in each row: its columns, and the set of each row."""

from pathlib import Path
from typing import NamedTuple

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.data.delimited import Row, plain, read_table
from rdrop_exp.data.listing import COMMON_WORDS, counted, dataset_root, place, set_name


class OwnTable(NamedTuple):
    """Positions of the columns, and the rows."""

    item: int
    """Image or text."""
    label: int
    other: int | None
    """The group of an image, or the second text; None: the table has no such column."""
    rows: list[tuple[int, str, list[str]]]
    """Line number, set and values."""
    origin: str
    """The column of sets; empty: there is none, and all rows are for training, to be split."""
    notes: list[str]


def table_file(options: Dataset) -> Path:
    """`dataset.csv` in `dataset.root`."""
    file = dataset_root(options) / options.csv
    if not file.is_file():
        raise OptionError(f"dataset.csv={options.csv}: file not found in {place(options)}")
    return file


def own_table(options: Dataset, file: Path, title: str, item: str, other: str) -> OwnTable:
    """The table in a file; `item` and `other` are the options that name these columns.

    `OptionError`, which begins with `title` where it is about a line, for columns and sets that are not there.
    """
    wanted = [name for option in (item, "label_column", other) if (name := getattr(options, option))]
    header, lines = read_table(file, title, wanted)
    first, label, second, split = (
        _position(options, each, header) for each in (item, "label_column", other, "split_column")
    )
    assert first is not None
    assert label is not None
    if split is None:
        _refuse_other_splits(options, header, lines, {first, label, second})
    rows = []
    for line, row in lines:
        word = row[split] if split is not None else ""
        if (name := set_name(word or "train")) is None:
            raise OptionError(f"{title}, line {line}: {word} is not a split{nearest(word.lower(), COMMON_WORDS)}")
        rows.append((line, name, row))
    if not any(name == "train" for _, name, _ in rows):
        raise OptionError(f"dataset.csv={options.csv} has no row for training: {file}")
    unassigned = sum(not row[split] for _, row in lines) if split is not None else 0
    notes = [f"{counted(unassigned, 'row')} without a {options.split_column} used for training"] if unassigned else []
    return OwnTable(first, label, second, rows, f"column {header[split]}" if split is not None else "", notes)


def _refuse_other_splits(options: Dataset, header: list[str], rows: list[Row], used: set[int | None]) -> None:
    """`OptionError` where another column than those used holds names of sets."""
    for i, column in enumerate(header):
        values = {row[i] for _, row in rows} if i not in used else set()
        if len(values) > 1 and all(map(set_name, values)):
            raise OptionError(
                f"dataset.csv={options.csv}: column {column} looks like a split; set dataset.split_column={column}"
            )


def _position(options: Dataset, option: str, header: list[str]) -> int | None:
    """The column that an option names, whatever its case and blanks; None for an optional one that is not there."""
    name = getattr(options, option)
    if not name and option in ("group_column", "split_column", "second_column"):
        return None
    matches = [i for i, column in enumerate(header) if column == name]
    matches = matches or [i for i, column in enumerate(header) if plain(column) == plain(name)]
    if len(matches) > 1:
        raise OptionError(f"dataset.{option}={name}: {len(matches)} columns of {options.csv} have this name")
    if not matches and (option, name) != ("split_column", "split"):
        raise OptionError(f"dataset.{option}={name}: no such column in {options.csv}{nearest(name, header)}")
    return matches[0] if matches else None
