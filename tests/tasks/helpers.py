"""Tiny text trials, a set of files for them, and the rows that they write."""

import csv
from pathlib import Path
from typing import Any

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.runs.folder import read_rows
from tests.conftest import folder_of, merged

BERT: dict[str, Any] = {
    "label": "bert",
    "name": "bert",
    "args": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
}
GPT: dict[str, Any] = {
    "label": "gpt", "name": "gpt2", "args": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32},
}  # fmt: skip
TEXT: dict[str, Any] = {
    "model": BERT,
    "dataset": {"name": "toy_text", "vocabulary_size": 300, "max_length": 32},
    "schedule": {"epochs": 2},
    "optimizer": {"lr": 3e-3, "batch_size": 64},
    "logger": {"wandb": "disabled", "progress": False, "every": 1},
}
LANGUAGE: dict[str, Any] = merged(TEXT, {"model": GPT, "dataset": {"name": "toy_language"}})


def text_options(folder: Path, *values: dict[str, Any], base: dict[str, Any] = TEXT) -> Options:
    return from_dict(merged(base, {"output_dir": str(folder)}, *values))


def rows_of(o: Options) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "tokens_per_second"} for row in read_rows(folder_of(o))]


def write_table(folder: Path, kind: str) -> dict[str, Any]:
    """60 texts of 1 to 12 words and a label of that kind; the options that read them."""
    words = ["cat", "dog", "bird", "fish"]
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for i in range(60):
            text = [words[i * k % 4] for k in range(1, 2 + i * 7 % 12)]
            labels = {"class": words[i % 4], "value": str(len(text) / 4), "set": " ".join(sorted(set(text)))}
            writer.writerow([" ".join(text), labels[kind]])
    return {"dataset": {"name": "text_csv", "root": str(folder), "label_kind": kind}, "optimizer": {"batch_size": 16}}
