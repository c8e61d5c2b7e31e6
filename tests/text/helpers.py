"""Small text files as they are distributed, and options that read them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.dataset import Dataset
from rdrop_exp.text.load import load_text
from rdrop_exp.text.readers import read
from rdrop_exp.text.texts import Texts
from rdrop_exp.text.tokens import TokenData

WORDS = ["the", "a", "small", "old", "cat", "teacher", "river", "sees", "follows", "paints", "near", "under"]


def read_set(name: str, root: Path | str = "data", **values: Any) -> Texts:
    return read(Dataset(name=name, root=str(root), **values))


def load(name: str, root: Path | str = "data", *, optimizer: dict[str, Any] | None = None, **values: Any) -> TokenData:
    dataset = {"name": name, "root": str(root), "vocabulary_size": 320} | values
    options = from_dict({"dataset": dataset, "optimizer": optimizer or {}})
    return load_text(options, torch.device("cpu"))


def write(path: Path, lines: Iterable[str], end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}{end}" for line in lines), encoding="utf-8", newline="")


def write_rows(path: Path, rows: Iterable[Sequence[str]], end: str = "\n") -> None:
    write(path, map("\t".join, rows), end)


def sentence(i: int) -> str:
    """Another one for each number below 12 ** 4; longer ones at irregular places."""
    words = [WORDS[i // 12**k % 12] for k in range(4)]
    return " ".join(words * (1 + i * i % 5))


def write_cola(root: Path, train: int = 40, dev: int = 10) -> None:
    for name, count in (("train.tsv", train), ("dev.tsv", dev)):
        write_rows(root / name, [("gj04", str(i % 2), "*" if i % 2 else "", sentence(i)) for i in range(count)])


def write_parallel(root: Path, counts: dict[str, int], languages: tuple[str, str] = ("de", "en")) -> None:
    for stem, count in counts.items():
        for language in languages:
            write(root / f"{stem}.{language}", (f"{language} {sentence(i)}" for i in range(count)))


def texts_of(texts: Texts, name: str) -> list[str]:
    """The first texts of a set, sorted: a set's order is random."""
    return sorted(texts.first[i] for i in texts.sets[name])
