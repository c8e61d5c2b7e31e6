"""Parallel texts for translation, and documents with summaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.data.delimited import read_table
from rdrop_exp.text.files import (
    STEMS,
    Files,
    checked_text,
    column,
    find,
    needed,
    read_jsonl,
    read_lines,
    read_tsv,
    root_of,
)
from rdrop_exp.text.texts import Part, Texts, assemble

PARALLEL_STEMS = STEMS | {"test": (*STEMS["test"], "test_2016_flickr", "test2014", "newstest2014")}


def parallel_files(options: Dataset) -> Files:
    """`train.de` and `train.en`, …, or one `train.tsv` for each set."""
    source, target = _sides(options, "a language such as de")
    root, files = root_of(options), Files()
    for part, stems in PARALLEL_STEMS.items():
        table = find(root, [f"{stem}.tsv" for stem in stems])
        file = find(root, [f"{stem}.{source}" for stem in stems])
        if table and not file:
            files[part] = (table,)
        elif file or part == "train":
            file = file or _language(root, "source", source)
            stem = file.name.removesuffix(".gz").removesuffix(f".{source}")
            other = find(root, [f"{stem}.{target}"])
            files[part] = (file, other or _language(root, "target", target, stem))
    return files


def _sides(options: Dataset, such: str) -> tuple[str, str]:
    for option in ("source", "target"):
        if not getattr(options, option):
            raise OptionError(f"dataset.{option} is empty: set it to {such}")
    if options.source == options.target:
        raise OptionError(f"dataset.source={options.source} and dataset.target={options.target} are the same")
    return options.source, options.target


def _language(root: Path, option: str, value: str, stem: str = "train") -> Path:
    """Refuses a language that has no file."""
    names = [each.name.removesuffix(".gz") for each in root.iterdir()]
    languages = sorted({name.removeprefix(f"{stem}.") for name in names if name.startswith(f"{stem}.")})
    raise OptionError(f"dataset.{option}={value}: no {stem}.{value} in dataset.root={root}{nearest('', languages)}")


def read_parallel(options: Dataset, files: Files) -> Texts:
    """Pairs of lines; those with an empty line are left out, as in the published files of WMT."""
    parts, notes = {}, []
    for part, paths in files.items():
        first, second, start = _table(paths[0], options) if len(paths) == 1 else _aligned(*paths)
        both = [(a.strip(), b.strip()) for a, b in zip(first, second, strict=True)]
        empty = [i for i, pair in enumerate(both) if not all(pair)]
        content = parts[part] = Part(str(paths[0]))
        if empty:
            notes.append(
                f"{len(empty):,} {part} pairs with an empty text left out (the first in line {empty[0] + start})"
            )
            content.lines = [i + start for i, pair in enumerate(both) if all(pair)]
            both = [pair for pair in both if all(pair)]
            if not both:
                raise OptionError(f"{paths[0]} has no pair without an empty text")
        elif start > 1:
            content.lines = list(range(start, start + len(both)))
        content.first, content.second = [a for a, _ in both], [b for _, b in both]
    return assemble(options, "pair", parts, notes=notes)


def _aligned(file: Path, other: Path) -> tuple[list[str], list[str], int]:
    """The texts of both files and the number of their first line."""
    first, second = read_lines(file), read_lines(other)
    if len(first) != len(second):
        short, long = sorted((len(first), len(second)))
        raise OptionError(
            f"{file} has {len(first):,} lines, {other} has {len(second):,}: line {short + 1:,} of"
            f" {other if len(second) == long else file} has no translation"
        )
    return first, second, 1


def _table(path: Path, options: Dataset) -> tuple[list[str], list[str], int]:
    names, rows = read_tsv(path, header=True)
    places = [column(path, names, getattr(options, side), f"dataset.{side}") for side in ("source", "target")]
    values = []
    for line, row in rows:
        if len(row) != len(names):
            raise OptionError(f"{path}, line {line}: {len(row)} columns, but line 1 has {len(names)}")
        values.append([row[i] for i in places])
    return [a for a, _ in values], [b for _, b in values], 2


def summary_files(options: Dataset) -> Files:
    """JSON lines or CSV."""
    _sides(options, "the name of a column")
    root, files = root_of(options), Files()
    for part, stems in STEMS.items():
        names = [f"{stem}{ending}" for ending in (".jsonl", ".json", ".csv") for stem in stems]
        path = find(root, names)
        if path or part == "train":
            files[part] = (path or needed(root, names),)
    return files


def read_summaries(options: Dataset, files: Files) -> Texts:
    """Documents and summaries; sentences in a list are joined, and of several summaries the first is used."""
    return assemble(options, "pair", {part: _summaries(path, options) for part, (path,) in files.items()})


def _summaries(path: Path, options: Dataset) -> Part:
    part, sides = Part(str(path)), ("source", "target")
    if ".csv" in path.suffixes:
        names, rows = read_table(path, str(path), [options.source, options.target])
        places = [column(path, names, getattr(options, side), f"dataset.{side}") for side in sides]
        for line, row in rows:
            part.add(line, *(checked_text(path, line, row[i]) for i in places))
        return part
    for line, values in read_jsonl(path):
        part.add(line, *(checked_text(path, line, _text(path, line, values, side, options)) for side in sides))
    return part


def _text(path: Path, line: int, values: dict[str, Any], side: str, options: Dataset) -> str:
    name = getattr(options, side)
    if name not in values:
        raise OptionError(f"dataset.{side}={name}: {path}, line {line} has no such key{nearest(name, values)}")
    value = values[name]
    if isinstance(value, list):
        value = " ".join(map(str, value)) if side == "source" else next(iter(value), "")
    if not isinstance(value, str):
        raise OptionError(f"{path}, line {line}: {name} is not a text")
    return value
