"""Downloads by the package datasets, of which a stand-in serves rows as the hub does."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rdrop_exp.config.schema import OptionError
from rdrop_exp.text.glue import GLUE
from rdrop_exp.text.hub import COLUMNS
from tests.text.helpers import read_set, sentence, texts_of, write_cola

NAMES = {"mnli": ["entailment", "neutral", "contradiction"], "rte": ["entailment", "not_entailment"]}
NAMES["qnli"] = NAMES["rte"]


class Rows(list[dict[str, Any]]):
    features: dict[str, Any]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was asked of the hub."""
    asked: list[tuple[str, str]] = []

    def load_dataset(path: str, config: str) -> dict[str, Rows]:
        asked.append((path, config))
        if "wikitext" in path:
            counts = {"train": 9, "validation": 3, "test": 2}
            return {part: Rows({"text": f" {sentence(i)} \n"} for i in range(n)) for part, n in counts.items()}
        dev = ["validation_matched", "validation_mismatched"] if config == "mnli" else ["validation"]
        names, sets = NAMES.get(config, ["no", "yes"]), {}
        for number, part in enumerate(["train", *dev, "test"]):
            sets[part] = Rows()
            sets[part].features = {"label": SimpleNamespace(names=names)}
            for i in range(30 if part == "train" else 6):
                label = i % 6 * 0.8 if config == "stsb" else i % len(names)
                columns = COLUMNS.get(config, ["sentence1", "sentence2"])
                sets[part].append({c: f'"{c}\t{number} {i}' for c in columns} | {"label": label, "idx": i})
        return sets

    module = ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return asked


@pytest.mark.parametrize("name", GLUE)
def test_a_task_of_glue_is_downloaded_once(tmp_path: Path, requests: list[tuple[str, str]], name: str) -> None:
    texts = read_set(name, tmp_path / "data", download=True)
    config = name.removesuffix("_mm")
    assert requests == [("nyu-mll/glue", config)]
    columns = COLUMNS.get(config, ["sentence1", "sentence2"])
    assert texts.first[:30] == [f'"{columns[0]} 0 {i}' for i in range(30)]
    assert texts.second[:30] == ([f'"{columns[1]} 0 {i}' for i in range(30)] if columns[1:] else [])
    part = 2 if name == "mnli_mm" else 1
    assert texts_of(texts, "test") == [f'"{columns[0]} {part} {i}' for i in range(6)]
    if name == "stsb":
        assert texts.labels[:7].tolist() == pytest.approx([i % 6 * 0.8 for i in range(7)])
    elif config in NAMES:
        assert [texts.classes[i] for i in texts.labels[:4]] == [NAMES[config][i % len(NAMES[config])] for i in range(4)]
    else:
        assert texts.labels[:4].tolist() == [0, 1, 0, 1]
    again, plain = (read_set(name, tmp_path / "data", download=download) for download in (True, False))
    assert again.first == plain.first == texts.first
    assert len(requests) == 1


def test_wikitext_is_downloaded(tmp_path: Path, requests: list[tuple[str, str]]) -> None:
    texts = read_set("wikitext2", tmp_path, download=True)
    assert requests == [("Salesforce/wikitext", "wikitext-2-v1")]
    assert {part: len(items) for part, items in texts.sets.items()} == {"train": 9, "validation": 3, "test": 2}
    assert texts.first[4] == sentence(4)


def test_without_the_package_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(OptionError, match=r"dataset\.download=true.*pip install datasets"):
        read_set("cola", tmp_path, download=True)


def test_a_hub_that_cannot_be_reached_is_named(
    tmp_path: Path, requests: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(path: str, config: str) -> None:
        raise ConnectionError("no route to the hub\nmore")

    monkeypatch.setattr(sys.modules["datasets"], "load_dataset", unreachable)
    with pytest.raises(OptionError, match=r"dataset\.download=true.*nyu-mll/glue cola: no route to the hub$"):
        read_set("cola", tmp_path, download=True)
    assert not list((tmp_path / "CoLA").glob("*.tsv"))


def test_files_that_are_there_are_not_downloaded(tmp_path: Path, requests: list[tuple[str, str]]) -> None:
    write_cola(tmp_path)
    assert len(read_set("cola", tmp_path, download=True).first) == 50
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionError, match=r"no train\.en"):
        read_set("parallel", tmp_path / "empty", download=True, source="en", target="de")
    assert requests == []


def test_a_missing_data_set_says_that_it_can_be_downloaded(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(OptionError, match=r"dataset\.root=.*; dataset\.download=true fetches mnli$"):
            read_set("mnli", root)


def test_toys_need_no_download() -> None:
    assert read_set("toy_text", download=True).first == read_set("toy_text").first
