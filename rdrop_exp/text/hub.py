"""Published texts from the Hugging Face hub, written once as the plain files that are then read."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError, first_line
from rdrop_exp.data import cache
from rdrop_exp.text.glue import GLUE

COLUMNS = {
    "cola": ["sentence"], "sst2": ["sentence"], "qqp": ["question1", "question2"], "qnli": ["question", "sentence"],
    "mnli": ["premise", "hypothesis"],
}  # fmt: skip
"""The hub's names of the texts, where they are not sentence1 and sentence2."""
WIKITEXT = {"wikitext2": "wikitext-2", "wikitext103": "wikitext-103"}


def download(options: Dataset) -> None:
    """Write the files of a GLUE task or of WikiText that `root` lacks, by the package datasets."""
    if options.name in GLUE:
        task, config = GLUE[options.name], options.name.removesuffix("_mm")
        dev = task.dev.removesuffix(".tsv").replace("dev", "validation")
        folder, path, parts = task.folder, "nyu-mll/glue", {"train.tsv": "train", task.dev: dev}
    else:
        folder, path, config = WIKITEXT[options.name], "Salesforce/wikitext", f"{WIKITEXT[options.name]}-v1"
        parts = {"train.txt": "train", "valid.txt": "validation", "test.txt": "test"}
    root = Path(options.root).expanduser() / folder
    with cache.locked(root / ".download.lock"):
        missing = {file: part for file, part in parts.items() if not (root / file).exists()}
        if not missing:
            return
        try:
            sets = import_module("datasets").load_dataset(path, config)
        except ImportError:
            raise OptionError(
                f"dataset.download=true needs the package datasets (pip install datasets), or the files in {root}"
            ) from None
        except Exception as error:  # whatever the hub, the network and the disk raise
            why = first_line(error)
            raise OptionError(f"dataset.download=true could not download {path} {config}: {why}") from error
        for file, part in missing.items():
            lines = _glue_lines(options.name, sets[part]) if options.name in GLUE else (r["text"] for r in sets[part])
            text = "".join(f"{line}\n" for line in lines)
            cache.write(root / file, lambda opened, text=text: opened.write(text.encode()))  # type: ignore[misc]


def _glue_lines(name: str, rows: Any) -> Iterator[str]:
    """Tab-separated as GLUE distributes it, with the columns that are read."""
    task, columns = GLUE[name], COLUMNS.get(name.removesuffix("_mm"), ["sentence1", "sentence2"])
    if task.header:
        yield "\t".join(str(title).partition("|")[0] for title in (task.first, task.second, task.label) if title)
    for row in rows:
        label = rows.features["label"].names[row["label"]] if "entailment" in task.classes else row["label"]
        texts = [" ".join(row[column].split()) for column in columns]
        yield "\t".join([*texts, str(label)] if task.header else ["", str(label), "", *texts])
