"""Text data sets from plain files in `dataset.root`, as they are distributed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rdrop_exp.config.options import Dataset
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.text.files import find, needed, read_jsonl, read_lines, read_tsv
from rdrop_exp.text.texts import Kind, Part, Texts, assemble
from rdrop_exp.text.toy import TOYS, read_toy


class Glue(NamedTuple):
    """A GLUE task: columns by name (or position where its files have no header) and its metric."""

    folder: str
    first: str | int
    second: str | int | None
    label: str | int
    metric: str
    dev: str = "dev.tsv"
    kind: Kind = "class"
    header: bool = True


GLUE = {
    "cola": Glue("CoLA", 3, None, 1, "matthews", header=False),
    "sst2": Glue("SST-2", "sentence|content", None, "label", "accuracy"),
    "mrpc": Glue("MRPC", "#1 String", "#2 String", "Quality", "accuracy"),
    "qqp": Glue("QQP", "question1", "question2", "is_duplicate", "accuracy"),
    "stsb": Glue("STS-B", "sentence1", "sentence2", "score", "pearson", kind="value"),
    "mnli": Glue("MNLI", "sentence1", "sentence2", "gold_label", "accuracy", dev="dev_matched.tsv"),
    "qnli": Glue("QNLI", "question", "sentence", "label", "accuracy"),
    "rte": Glue("RTE", "sentence1", "sentence2", "label", "accuracy"),
    "wnli": Glue("WNLI", "sentence1", "sentence2", "label", "accuracy"),
}
"""GLUE's labels of test are not public: dev is the test set here, and validation is split off the training set."""


def read_glue(options: Dataset) -> Texts:
    """A task of GLUE (Wang et al. 2018, arXiv 1804.07461), from `root` or the task's folder inside it."""
    task = GLUE[options.name]
    root = Path(options.root).expanduser()
    root = root / task.folder if (root / task.folder).is_dir() else root
    if options.name == "stsb" and not find(root, "train.tsv"):
        files = {part: needed(root, f"sts-{name}.csv") for part, name in _STS.items()}
        task = task._replace(first=5, second=6, label=4, header=False)
    else:
        files = {"train": needed(root, "train.tsv"), "test": needed(root, task.dev)}
    return assemble(options, task.kind, {p: _glue_part(path, task) for p, path in files.items()}, metric=task.metric)


_STS = {"train": "train", "validation": "dev", "test": "test"}
"""The STS benchmark as its authors distribute it, whose test set has labels."""


def _glue_part(path: Path, task: Glue) -> Part:
    names, rows = read_tsv(path, task.header)
    first, label = _column(path, names, task.first), _column(path, names, task.label)
    second = None if task.second is None else _column(path, names, task.second)
    part = Part()
    for number, row in rows:
        if len(row) <= max(first, label, second or 0):
            raise OptionError(f"{path}, line {number}: {len(row)} columns, too few for this task")
        part.first.append(_text(path, number, row[first]))
        if second is not None:
            part.second.append(_text(path, number, row[second]))
        part.labels.append(_number(path, number, row[label]) if task.kind == "value" else row[label].strip())
    return part


def _column(path: Path, names: list[str], wanted: str | int) -> int:
    if isinstance(wanted, int):
        return wanted
    for name in wanted.split("|"):
        if name in names:
            return names.index(name)
    raise OptionError(f"{path} has no column {wanted.partition('|')[0]}{nearest(wanted, names)}")


def _text(path: Path, number: int, text: str) -> str:
    if not text.strip():
        raise OptionError(f"{path}, line {number}: the text is empty")
    return text.strip()


def _number(path: Path, number: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e30:
        raise OptionError(f"{path}, line {number}: the label {text.strip()!r} is not a number")
    return value


def read_text_csv(options: Dataset) -> Texts:
    """A table of one's own: a text, perhaps a second one, and a label in each row."""
    from rdrop_exp.data.delimited import plain, read_table

    root = Path(options.root).expanduser()
    path = root if root.is_file() else root / options.csv
    wanted = [c for c in (options.text_column, options.second_column, options.label_column) if c]
    columns, rows = read_table(path, f"dataset.csv={path}", [*wanted, options.split_column])
    place = {plain(name): i for i, name in enumerate(columns)}
    for option in ("text_column", "second_column", "label_column"):
        if (name := getattr(options, option)) and plain(name) not in place:
            raise OptionError(f"dataset.{option}={name} is not a column of {path}{nearest(name, columns)}")
    split = place.get(plain(options.split_column)) if options.split_column else None
    parts: dict[str, Part] = {}
    for number, row in rows:
        part = parts.setdefault(_split(path, number, row[split]) if split is not None else "train", Part())
        part.first.append(_text(path, number, row[place[plain(options.text_column)]]))
        if options.second_column:
            part.second.append(_text(path, number, row[place[plain(options.second_column)]]))
        label = row[place[plain(options.label_column)]]
        if options.label_kind == "value":
            part.labels.append(_number(path, number, label))
        elif options.label_kind == "set":
            part.labels.append(label.split())
        elif label:
            part.labels.append(label)
        else:
            raise OptionError(f"{path}, line {number}: the label is empty")
    if "train" not in parts:
        raise OptionError(f"{path} has no rows of the training set")
    ordered = {name: parts[name] for name in ("train", "validation", "test") if name in parts}
    texts = assemble(options, options.label_kind, ordered)
    if options.label_kind == "class" and len(texts.classes) < 2:
        raise OptionError(f"{path} has a single class, {texts.classes[0]}: there is nothing to learn")
    return texts


def _split(path: Path, number: int, name: str) -> str:
    words = {"val": "validation", "valid": "validation", "dev": "validation"}
    split = words.get(name.lower(), name.lower())
    if split not in ("train", "validation", "test"):
        raise OptionError(f"{path}, line {number}: the split {name!r} is not train, validation or test")
    return split


def read_wikitext(options: Dataset) -> Texts:
    """WikiText (Merity et al. 2016, arXiv 1609.07843): paragraphs of three files."""
    root = Path(options.root).expanduser()
    names = {"wikitext2": "wikitext-2", "wikitext103": "wikitext-103"}[options.name]
    root = next((each for each in (root / names, root / f"{names}-raw") if each.is_dir()), root)
    parts = {}
    for part, stem in (("train", "train"), ("validation", "valid"), ("test", "test")):
        path = needed(root, f"{stem}.txt", f"wiki.{stem}.tokens", f"wiki.{stem}.raw")
        parts[part] = Part(first=[line.strip() for line in read_lines(path) if line.strip()])
    return assemble(options, "language", parts)


PARALLEL_NAMES = {"train": ("train",), "validation": ("val", "valid", "dev"), "test": ("test", "test_2016_flickr")}


def read_parallel(options: Dataset) -> Texts:
    """Line-aligned files `train.de`, `train.en`, …, or one TSV with a column for each language."""
    root = Path(options.root).expanduser()
    source, target = options.source, options.target
    parts, notes = {}, []
    for part, stems in PARALLEL_NAMES.items():
        if table := find(root, *(f"{stem}.tsv" for stem in stems)):
            names, rows = read_tsv(table, header=True)
            a, b = _column(table, names, source), _column(table, names, target)
            pairs = [(_text(table, n, row[a]), _text(table, n, row[b])) for n, row in rows]
            parts[part] = Part(first=[p[0] for p in pairs], second=[p[1] for p in pairs])
            continue
        file = find(root, *(f"{stem}.{source}" for stem in stems))
        if file is None and part != "train":
            continue
        file = file or needed(root, f"train.{source}", "train.tsv")
        other = needed(root, *(f"{stem}.{target}" for stem in stems))
        first, second = read_lines(file), read_lines(other)
        if len(first) != len(second):
            raise OptionError(f"{file} has {len(first):,} lines, {other} has {len(second):,}: they must be aligned")
        kept = [i for i, pair in enumerate(zip(first, second, strict=True)) if all(t.strip() for t in pair)]
        if empty := len(first) - len(kept):
            notes.append(f"{empty:,} {part} pairs with an empty line were left out")
        parts[part] = Part(first=[first[i].strip() for i in kept], second=[second[i].strip() for i in kept])
    return assemble(options, "pair", parts, notes=notes)


def read_summaries(options: Dataset) -> Texts:
    """JSON lines or CSV of documents and summaries; sentences in a list are joined; of several summaries, the first."""
    root = Path(options.root).expanduser()
    parts = {}
    for part, stems in (("train", ("train",)), ("validation", ("val", "valid", "dev")), ("test", ("test",))):
        path = find(root, *(f"{stem}{ending}" for stem in stems for ending in (".jsonl", ".json", ".csv")))
        if path is None and part == "train":
            path = needed(root, "train.jsonl", "train.csv")
        if path is not None:
            parts[part] = _summaries(path, options)
    return assemble(options, "pair", parts)


def _summaries(path: Path, options: Dataset) -> Part:
    part = Part()
    if path.suffix == ".csv":
        from rdrop_exp.data.delimited import read_table

        columns, table = read_table(path, str(path), [options.source, options.target])
        a, b = _column(path, columns, options.source), _column(path, columns, options.target)
        rows = [(number, {options.source: row[a], options.target: row[b]}) for number, row in table]
    else:
        rows = list(read_jsonl(path))  # type: ignore[arg-type]
    for number, row in rows:
        for column, texts in ((options.source, part.first), (options.target, part.second)):
            value = row.get(column)
            if isinstance(value, list):
                value = " ".join(map(str, value)) if column == options.source else next(iter(value), "")
            if not isinstance(value, str):
                raise OptionError(f"{path}, line {number}: no text {column}{nearest(column, map(str, row))}")
            texts.append(_text(path, number, value))
    return part


READERS: dict[str, Callable[[Dataset], Texts]] = {
    **dict.fromkeys(TOYS, read_toy),
    **dict.fromkeys(GLUE, read_glue),
    "text_csv": read_text_csv,
    "wikitext2": read_wikitext,
    "wikitext103": read_wikitext,
    "parallel": read_parallel,
    "summaries": read_summaries,
}


def read(options: Dataset) -> Texts:
    """The text data set that the options name; `OptionError` naming file and line where it cannot be read."""
    return READERS[options.name](options)
