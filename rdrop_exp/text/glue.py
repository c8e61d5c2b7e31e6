"""The nine tasks of GLUE (Wang et al. 2018, arXiv 1804.07461) from their TSV files.

GLUE's labels of test are not public: dev is the test set here, and validation is split off the training set.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.text.files import Files, checked_number, checked_text, column, find, needed, read_tsv, root_of
from rdrop_exp.text.texts import Kind, Part, Texts, assemble

ENTAILMENT = ("entailment", "not_entailment")


class Glue(NamedTuple):
    """A GLUE task: columns by name (or position where its files have no header), its classes and its metric."""

    folder: str
    first: str | int
    second: str | int | None
    label: str | int
    metric: str
    classes: tuple[str, ...] = ("0", "1")
    dev: str = "dev.tsv"
    kind: Kind = "class"
    header: bool = True
    broken: bool = False
    """Whether the published files hold broken rows, which are left out."""


_MNLI = Glue(
    "MNLI", "sentence1", "sentence2", "gold_label", "accuracy",
    classes=("contradiction", "entailment", "neutral"), dev="dev_matched.tsv",
)  # fmt: skip
GLUE = {
    "cola": Glue("CoLA", 3, None, 1, "matthews", header=False),
    "sst2": Glue("SST-2", "sentence|content", None, "label", "accuracy"),
    "mrpc": Glue("MRPC", "#1 String", "#2 String", "Quality", "accuracy"),
    "qqp": Glue("QQP", "question1", "question2", "is_duplicate", "accuracy", broken=True),
    "stsb": Glue("STS-B", "sentence1", "sentence2", "score", "pearson", classes=(), kind="value"),
    "mnli": _MNLI,
    "mnli_mm": _MNLI._replace(dev="dev_mismatched.tsv"),
    "qnli": Glue("QNLI", "question", "sentence", "label", "accuracy", classes=ENTAILMENT),
    "rte": Glue("RTE", "sentence1", "sentence2", "label", "accuracy", classes=ENTAILMENT),
    "wnli": Glue("WNLI", "sentence1", "sentence2", "label", "accuracy"),
}
STS = {"train": "sts-train.csv", "validation": "sts-dev.csv", "test": "sts-test.csv"}
"""The STS benchmark as its authors distribute it, whose test set has labels."""


def glue_files(options: Dataset) -> Files:
    """In `root`, or in the task's folder inside it."""
    task = GLUE[options.name]
    root = root_of(options, task.folder)
    if options.name == "stsb" and not find(root, ["train.tsv"]) and find(root, [STS["train"]]):
        return {part: (needed(root, [name]),) for part, name in STS.items()}
    return {"train": (needed(root, ["train.tsv"]),), "test": (needed(root, [task.dev]),)}


def read_glue(options: Dataset, files: Files) -> Texts:
    """All labelled items of a task."""
    task, notes = GLUE[options.name], []
    if "validation" in files:
        task = task._replace(first=5, second=6, label=4, header=False)
    else:
        notes.append(f"test is {files['test'][0].name}")
    parts = {}
    for part, (path,) in files.items():
        parts[part], left_out = _part(path, task)
        notes += [f"{left_out:,} broken {part} rows left out"] if left_out else []
    return assemble(options, task.kind, parts, metric=task.metric, classes=task.classes, notes=notes)


def _part(path: Path, task: Glue) -> tuple[Part, int]:
    """The items of a file, and the number of broken rows left out."""
    names, rows = read_tsv(path, task.header)
    texts = [_position(path, names, wanted) for wanted in (task.first, task.second) if wanted is not None]
    label = _position(path, names, task.label)
    part, left_out, least = Part(str(path)), 0, 1 + max(*texts, label)
    for line, row in rows:
        if task.broken and (len(row) < len(names) or not all(row[i].strip() for i in texts)):
            left_out += 1
            continue
        if len(row) < least:
            raise OptionError(f"{path}, line {line}: {len(row)} columns, but {task.folder} has at least {least}")
        part.add(line, *(checked_text(path, line, row[i]) for i in texts))
        part.labels.append(_label(path, line, row[label].strip(), task))
    return part, left_out


def _position(path: Path, names: list[str], wanted: str | int) -> int:
    return wanted if isinstance(wanted, int) else column(path, names, wanted)


def _label(path: Path, line: int, label: str, task: Glue) -> str | float:
    if task.kind == "value":
        return checked_number(path, line, label, 0, 5)
    if label not in task.classes:
        raise OptionError(f"{path}, line {line}: the label {label!r} is not a class{nearest(label, task.classes)}")
    return label
