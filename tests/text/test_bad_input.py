"""Unusable text files: one sentence with file and line, or with option, value and what is near; nothing is written."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.schema import OptionError
from rdrop_exp.train.trial import run
from tests.text.helpers import read_set, sentence, write, write_cola, write_parallel, write_rows

PAIR = {"source": "de", "target": "en"}
SUMMARY = {"source": "document", "target": "summary"}
DOCUMENT = '{"document": "long text", "summary": "short"}'


def refused(root: Path, name: str, *words: str, **values: Any) -> None:
    with pytest.raises(OptionError) as caught:
        read_set(name, root, **values)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


# -- files that are no text -------------------------------------------------------------------------------------------


def replaced(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def zipped(content: bytes) -> Callable[[Path], None]:
    """Replaces train.tsv by train.tsv.gz."""

    def replace(path: Path) -> None:
        path.unlink()
        path.with_name("train.tsv.gz").write_bytes(content)

    return replace


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


COLA = ("s\t1\t\ta text\n" * 30).encode()
UNREADABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "latin-1": (lambda path: replaced(path, COLA + "s\t1\t\té".encode("latin-1")), "train.tsv, line 31: not in UTF-8"),
    "cut": (lambda path: replaced(path, COLA + "é".encode()[:1]), "line 31"),
    "utf-16": (lambda path: replaced(path, COLA.decode().encode("utf-16-le")), "train.tsv is not a text"),
    "empty": (lambda path: replaced(path, b""), "train.tsv is empty"),
    "blank": (lambda path: replaced(path, b"\n \n\n"), "train.tsv is empty"),
    "missing": (Path.unlink, "no train.tsv"),
    "folder": (made_a_folder, "train.tsv is a folder"),
    "gzip by name only": (zipped(COLA), "train.tsv.gz is not compressed by gzip"),
    "truncated gzip": (zipped(gzip.compress(COLA)[:-20]), "train.tsv.gz is damaged or incomplete"),
    "garbled gzip": (zipped(gzip.compress(COLA)[:12] + b"\xff" * 40), "train.tsv.gz is damaged or incomplete"),
    "empty gzip": (zipped(b""), "train.tsv.gz is empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_is_no_text(tmp_path: Path, case: str) -> None:
    write_cola(tmp_path)
    spoil, words = UNREADABLE[case]
    spoil(tmp_path / "train.tsv")
    refused(tmp_path, "cola", str(tmp_path), words)


def test_utf_16_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    write_cola(tmp_path)
    replaced(tmp_path / "train.tsv", (tmp_path / "dev.tsv").read_text().encode("utf-16"))
    assert read_set("cola", tmp_path).first[1] == sentence(1)


@pytest.mark.parametrize(("root", "words"), [("nowhere", "folder not found"), ("cola.txt", "not a folder")])
def test_a_root_that_is_no_folder(tmp_path: Path, root: str, words: str) -> None:
    (tmp_path / "cola.txt").write_text("")
    for name in ("cola", "wikitext2", "text_csv", "parallel", "summaries"):
        refused(tmp_path / root, name, f"dataset.root={tmp_path / root}", words, source="a", target="b")


def test_a_mistyped_file_is_found(tmp_path: Path) -> None:
    write(tmp_path / "trian.txt", ["a"])
    refused(tmp_path, "wikitext2", "train.txt", "did you mean trian.txt")


# -- parallel texts and summaries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("short", "long"), [("de", "en"), ("en", "de")])
def test_line_counts_that_differ(tmp_path: Path, short: str, long: str) -> None:
    write_parallel(tmp_path, {"train": 20, "valid": 5})
    write(tmp_path / f"train.{short}", map(sentence, range(18)))
    refused(
        tmp_path,
        "parallel",
        f"train.{short} has 18",
        f"train.{long} has 20",
        f"line 19 of {tmp_path / f'train.{long}'} has no",
        **PAIR,
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"source": "", "target": "en"}, ["dataset.source", "empty"]),
        ({"source": "de", "target": ""}, ["dataset.target", "empty"]),
        ({"source": "de", "target": "de"}, ["dataset.source=de", "dataset.target=de"]),
        ({"source": "ed", "target": "en"}, ["dataset.source=ed", "train.ed", "de, en"]),
        ({"source": "de", "target": "fr"}, ["dataset.target=fr", "train.fr", "de, en"]),
    ],
)
def test_languages_that_are_not_there(tmp_path: Path, values: dict[str, str], words: list[str]) -> None:
    write_parallel(tmp_path, {"train": 20})
    refused(tmp_path, "parallel", *words, **values)


def test_a_set_with_one_language_only(tmp_path: Path) -> None:
    write_parallel(tmp_path, {"train": 20, "valid": 5})
    (tmp_path / "valid.en").unlink()
    refused(tmp_path, "parallel", "dataset.target=en", "valid.en", **PAIR)


def test_all_lines_of_one_language_are_empty(tmp_path: Path) -> None:
    write_parallel(tmp_path, {"train": 20})
    write(tmp_path / "train.en", [""] * 19 + ["."])
    write(tmp_path / "train.de", ["."] * 19 + [""])
    refused(tmp_path, "parallel", "train.de", "empty text", **PAIR)


def test_a_table_of_languages_with_bad_rows(tmp_path: Path) -> None:
    write_rows(tmp_path / "train.tsv", [("de", "english"), ("a", "b"), ("c", "d", "e")])
    refused(tmp_path, "parallel", "dataset.target=en", "train.tsv", "did you mean english", **PAIR)
    refused(tmp_path, "parallel", "train.tsv, line 3", "3 columns", source="de", target="english")
    write_rows(tmp_path / "train.tsv", [("de", "en")])
    refused(tmp_path, "parallel", "train.tsv", "header", **PAIR)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{'document': 1}", ["line 2", "JSON"]),
        ('["a", "b"]', ["line 2", "JSON"]),
        ("[" * 100_000, ["line 2", "JSON"]),
        ('{"document": "a", "sumary": "b"}', ["dataset.summary", "line 2", "did you mean sumary"]),
        ('{"document": "a", "summary": 3}', ["line 2", "summary is not a text"]),
        ('{"document": "a", "summary": []}', ["line 2", "empty"]),
        ('{"document": " ", "summary": "b"}', ["line 2", "empty"]),
        ('{"document": "half \\ud83d", "summary": "b"}', ["line 2", "half a character"]),
    ],
)
def test_bad_json_lines(tmp_path: Path, line: str, words: list[str]) -> None:
    write(tmp_path / "train.jsonl", [DOCUMENT, line, DOCUMENT])
    words = [word.replace("dataset.summary", "dataset.target=summary") for word in words]
    refused(tmp_path, "summaries", str(tmp_path / "train.jsonl"), *words, **SUMMARY)


def test_bad_tables_of_summaries(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    write(path, ["document,sumary", "a,b"])
    refused(tmp_path, "summaries", "dataset.target=summary", str(path), "did you mean sumary", **SUMMARY)
    write(path, ["document,summary"])
    refused(tmp_path, "summaries", str(path), "header", **SUMMARY)
    write(path, [])
    refused(tmp_path, "summaries", str(path), "empty", **SUMMARY)
    write(path, ["document,summary", "a,b", "c,"])
    refused(tmp_path, "summaries", f"{path}, line 3", "empty", **SUMMARY)


# -- tables of one's own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "words", "values"),
    [
        (["txt,label", "a,1", "b,2"], ["dataset.text_column=text", "did you mean txt"], {}),
        (["text,lable", "a,1", "b,2"], ["dataset.label_column=label", "did you mean lable"], {}),
        (["text,label", "a,1", "b,2"], ["dataset.second_column=other", "labels.csv"], {"second_column": "other"}),
        (["text,label", "a,1", "b,2"], ["dataset.split_column=part", "labels.csv"], {"split_column": "part"}),
        (["text,label,part", "a,1,train", "b,2,test"], ["dataset.split_column=part"], {}),
        (["text,label", "a,1", "b,2,3"], ["labels.csv, line 3", "3 values for 2 columns"], {}),
        (["text,label", "a,1", ",2"], ["labels.csv, line 3", "empty"], {}),
        (["text,label", "a,1", "b,"], ["labels.csv, line 3", "label"], {}),
        (["text,label", "a,1", "b,1"], ["labels.csv", "single class"], {}),
        (["text,label", "a,", "b,"], ["labels.csv", "no labels"], {"label_kind": "set"}),
        (["text,label", "a,1", "b,high"], ["labels.csv, line 3", "'high'", "number"], {"label_kind": "value"}),
        (["text,label", "a,1", "b,inf"], ["labels.csv, line 3", "'inf'"], {"label_kind": "value"}),
        (["text,label,split", "a,1,train", "b,2,trian"], ["labels.csv, line 3", "trian", "did you mean train"], {}),
        (["text,label,split", "a,1,test", "b,2,test"], ["labels.csv", "no row for training"], {}),
        (
            ["text,label,split", "a,cat,train", "b,dog,train", "c,cta,test"],
            ["labels.csv, line 4", "class cta of the test set", "did you mean cat"],
            {},
        ),
        (["text,label"], ["labels.csv", "header"], {}),
        ([], ["labels.csv is empty"], {}),
    ],
)
def test_bad_tables(tmp_path: Path, lines: list[str], words: list[str], values: dict[str, str]) -> None:
    write(tmp_path / "labels.csv", lines)
    refused(tmp_path, "text_csv", *words, **values)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path, "text_csv", "dataset.csv=mine.csv", str(tmp_path), csv="mine.csv")


# -- before anything is written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["train.tsv, line 3", "empty"]),
        ({"root": "nowhere"}, ["dataset.root=nowhere"]),
        ({"vocabulary": "nowhere.txt"}, ["dataset.vocabulary=nowhere.txt"]),
    ],
)
def test_a_trial_is_refused_before_anything_is_written(
    tmp_path: Path, values: dict[str, Any], words: list[str]
) -> None:
    write_cola(tmp_path / "data")
    if not values:
        write_rows(tmp_path / "data/train.tsv", [("s", "1", "", text) for text in ("a", "b", " ")])
    dataset = {"name": "cola", "root": str(tmp_path / "data")} | values
    model = {"name": "bert", "args": {"hidden_size": 16}}
    options = from_dict({"dataset": dataset, "model": model, "output_dir": str(tmp_path / "outputs")})
    with pytest.raises(OptionError) as caught:
        run(options)
    for word in words:
        assert word in str(caught.value)
    assert not (tmp_path / "outputs").exists()
