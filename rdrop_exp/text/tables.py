"""A table of one's own: a text, perhaps a second one, and a label in each row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.data.delimited import read_table
from rdrop_exp.data.listing import COMMON_WORDS, counted, dataset_root, place, set_name
from rdrop_exp.text.files import Files, checked_number, checked_text
from rdrop_exp.text.texts import Part, Texts, assemble


def text_csv_files(options: Dataset) -> Files:
    path = dataset_root(options) / options.csv
    if not path.exists():
        raise OptionError(f"dataset.csv={options.csv}: file not found in {place(options)}")
    return {"train": (path,)}


def read_text_csv(options: Dataset, files: Files) -> Texts:
    """The rows of `dataset.csv`; without a column of sets all of them are for training, to be split."""
    from rdrop_exp.data.table import position, refuse_other_splits

    (path,) = files["train"]
    wanted = [c for c in (options.text_column, options.second_column, options.label_column) if c]
    columns, rows = read_table(path, str(path), wanted)
    if not rows:
        raise OptionError(f"{path} is empty" if not columns else f"{path} has no line after its header")
    first, second, label, split = (
        position(options, option, columns)
        for option in ("text_column", "second_column", "label_column", "split_column")
    )
    assert first is not None
    assert label is not None
    if split is None:
        refuse_other_splits(options, columns, rows, {first, second, label})
    parts, unassigned = {name: Part(str(path)) for name in ("train", "validation", "test")}, 0
    for line, row in rows:
        name = set_name(row[split] or "train") if split is not None else "train"
        if name is None:
            word = row[split or 0]
            raise OptionError(f"{path}, line {line}: {word} is not a split{nearest(word.lower(), COMMON_WORDS)}")
        unassigned += split is not None and not row[split]
        part = parts[name]
        texts = [checked_text(path, line, row[i]) for i in (first, second) if i is not None]
        part.add(line, *texts)
        part.labels.append(_label(options, path, line, row[label]))
    if not parts["train"].first:
        raise OptionError(f"dataset.csv={options.csv} has no row for training: {path}")
    notes = [f"{counted(unassigned, 'row')} without a {options.split_column} used for training"] if unassigned else []
    return assemble(options, options.label_kind, {k: p for k, p in parts.items() if p.first}, notes=notes)


def _label(options: Dataset, path: Path, line: int, label: str) -> Any:
    if options.label_kind == "value":
        return checked_number(path, line, label)
    if options.label_kind == "set":
        return label.split()
    if not label:
        raise OptionError(f"{path}, line {line}: no value in column {options.label_column}")
    return label
