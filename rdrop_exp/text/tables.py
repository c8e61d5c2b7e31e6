"""A table of one's own: a text, perhaps a second one, and a label in each row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.columns import own_table, table_file
from rdrop_exp.text.files import Files, checked_number, checked_text
from rdrop_exp.text.texts import Part, Texts, assemble


def text_csv_files(options: Dataset) -> Files:
    return {"train": (table_file(options),)}


def read_text_csv(options: Dataset, files: Files) -> Texts:
    """The rows of `dataset.csv`; without a column of sets all of them are for training, to be split."""
    (path,) = files["train"]
    table = own_table(options, path, str(path), "text_column", "second_column")
    parts = {name: Part(str(path)) for name in ("train", "validation", "test")}
    for line, name, row in table.rows:
        texts = [checked_text(path, line, row[i]) for i in (table.item, table.other) if i is not None]
        parts[name].add(line, *texts)
        parts[name].labels.append(_label(options, path, line, row[table.label]))
    return assemble(options, options.label_kind, {k: p for k, p in parts.items() if p.first}, notes=table.notes)


def _label(options: Dataset, path: Path, line: int, label: str) -> Any:
    if options.label_kind == "value":
        return checked_number(path, line, label)
    if options.label_kind == "set":
        return label.split()
    if not label:
        raise OptionError(f"{path}, line {line}: no value in column {options.label_column}")
    return label
