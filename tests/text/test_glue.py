"""GLUE's nine tasks in the layouts as distributed."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rdrop_exp.config.schema import OptionError
from tests.text.helpers import read_set, sentence, texts_of, write_cola, write_rows

MNLI_HEADER = (
    "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse"
    " sentence1 sentence2 label1 gold_label"
)
LAYOUTS = {
    # name: (folder, header, row with first, second and label, labels, file of the test set)
    "sst2": ("SST-2", "sentence label", "{first} {label}", "01", "dev.tsv"),
    "mrpc": ("MRPC", "Quality #1_ID #2_ID #1_String #2_String", "{label} 7 8 {first} {second}", "01", "dev.tsv"),
    "qqp": ("QQP", "id qid1 qid2 question1 question2 is_duplicate", "1 2 3 {first} {second} {label}", "01", "dev.tsv"),
    "mnli": ("MNLI", MNLI_HEADER, "0 1 2 g p p p p {first} {second} x {label}", "mnli", "dev_matched.tsv"),
    "mnli_mm": ("MNLI", MNLI_HEADER, "0 1 2 g p p p p {first} {second} x {label}", "mnli", "dev_mismatched.tsv"),
    "qnli": ("QNLI", "index question sentence label", "0 {first} {second} {label}", "entailed", "dev.tsv"),
    "rte": ("RTE", "index sentence1 sentence2 label", "0 {first} {second} {label}", "entailed", "dev.tsv"),
    "wnli": ("WNLI", "index sentence1 sentence2 label", "0 {first} {second} {label}", "01", "dev.tsv"),
}
LABELS = {
    "01": ["0", "1"],
    "mnli": ["contradiction", "entailment", "neutral"],
    "entailed": ["entailment", "not_entailment"],
}


def rows(name: str, numbers: range) -> list[list[str]]:
    _, header, row, labels, _ = LAYOUTS[name]
    lines = [[word.replace("_I", " I").replace("_S", " S") for word in header.split()]]
    for i in numbers:
        names = LABELS[labels]
        values = {"first": f'"{sentence(i)}', "second": f"then {sentence(i)}", "label": names[i % len(names)]}
        lines.append([word.format(**values) for word in row.split(" ")])
    return lines


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("inside", [False, True])
def test_a_task_as_distributed(tmp_path: Path, name: str, inside: bool) -> None:
    folder, *_, labels, test = LAYOUTS[name]
    root = tmp_path / folder if inside else tmp_path
    write_rows(root / "train.tsv", rows(name, range(60)), "\r\n" if name == "qnli" else "\n")
    write_rows(root / test, rows(name, range(100, 112)))
    texts = read_set(name, tmp_path)
    assert texts.classes == LABELS[labels]
    assert {part: len(items) for part, items in texts.sets.items()} == {"train": 54, "validation": 6, "test": 12}
    assert texts_of(texts, "test") == sorted(f'"{sentence(i)}' for i in range(100, 112))  # a quote is a character
    assert texts.labels.tolist() == [i % len(texts.classes) for i in [*range(60), *range(100, 112)]]
    expected = [] if name == "sst2" else [f"then {sentence(i)}" for i in [*range(60), *range(100, 112)]]
    assert texts.second == expected
    assert texts.fingerprint == name
    assert f"test is {test}" in texts.summary


def test_cola_has_no_header(tmp_path: Path) -> None:
    write_cola(tmp_path / "CoLA")
    texts = read_set("cola", tmp_path)
    assert texts.first[:3] == [sentence(0), sentence(1), sentence(2)]
    assert texts.labels[:4].tolist() == [0, 1, 0, 1]
    assert texts.metric == "matthews"
    assert not texts.second
    assert texts.where(0).endswith("train.tsv, line 1")
    assert texts.where(41).endswith("dev.tsv, line 2")


def test_a_byte_order_mark_and_another_header_of_sst2(tmp_path: Path) -> None:
    for name in ("train.tsv", "dev.tsv"):
        header = "\ufefflabel\t" + ("content" if name == "dev.tsv" else "sentence")
        write_rows(tmp_path / name, [[header], *([str(i % 2), sentence(i)] for i in range(20))])
    texts = read_set("sst2", tmp_path)
    assert texts_of(texts, "test") == sorted(map(sentence, range(20)))


@pytest.mark.parametrize("layout", ["glue", "authors"])
def test_stsb_is_scored_from_0_to_5(tmp_path: Path, layout: str) -> None:
    scores = [i % 11 / 2 for i in range(33)]
    if layout == "glue":
        header = [*"abcdefg", "sentence1", "sentence2", "score"]
        lines = [["0", "g", "f", "y", "o", "s", "s", sentence(i), f"b {i}", f"{s:.3f}"] for i, s in enumerate(scores)]
        write_rows(tmp_path / "STS-B/train.tsv", [header, *lines])
        write_rows(tmp_path / "STS-B/dev.tsv", [header, *lines[:11]])
    else:
        lines = [["g", "f", "y", "o", f"{s:.3f}", sentence(i), f"b {i}"] for i, s in enumerate(scores)]
        lines[5] += ["an", "origin"]
        for name, part in (("train", lines), ("dev", lines[:4]), ("test", lines[:11])):
            write_rows(tmp_path / f"sts-{name}.csv", part)
    texts = read_set("stsb", tmp_path)
    assert (texts.kind, texts.metric, texts.classes) == ("value", "pearson", [])
    assert texts.labels.dtype == np.float32
    assert texts.labels[:33].tolist() == scores
    assert texts.second[7] == "b 7"
    assert len(texts.sets["test"]) == 11
    assert len(texts.sets["validation"]) == (3 if layout == "glue" else 4)


def test_broken_rows_of_qqp_are_left_out(tmp_path: Path) -> None:
    lines = rows("qqp", range(30))
    lines[4] = lines[4][:4]
    lines[9][4] = " "
    write_rows(tmp_path / "train.tsv", lines)
    write_rows(tmp_path / "dev.tsv", rows("qqp", range(30, 40)))
    texts = read_set("qqp", tmp_path)
    assert len(texts.first) == 38
    assert "2 broken train rows left out" in texts.summary
    assert texts.where(3).endswith("line 6")


def test_validation_is_split_from_training_by_class_and_seed(tmp_path: Path) -> None:
    for name, count in (("train.tsv", 300), ("dev.tsv", 10)):
        write_rows(tmp_path / name, [("s", str(int(i % 3 == 0)), "", sentence(i)) for i in range(count)])
    first, same, other = (read_set("cola", tmp_path, validation=0.2, split_seed=seed) for seed in (0, 0, 1))
    for texts in (first, other):
        assert Counter(texts.labels[texts.sets["validation"]]) == {0: 40, 1: 20}
        assert sorted([*texts.sets["train"], *texts.sets["validation"]]) == list(range(300))
        assert sorted(texts.sets["test"]) == list(range(300, 310))
        assert texts.counts["validation"] == {"0": 40, "1": 20}
    assert first.sets["validation"].tolist() == same.sets["validation"].tolist()
    assert set(first.sets["validation"]) != set(other.sets["validation"])


@pytest.mark.parametrize(
    ("line", "row", "words"),
    [
        (3, ["0", "a", "b", "Entailment"], ["line 3", "'Entailment'", "did you mean entailment"]),
        (5, ["0", "a", "b"], ["line 5", "3 columns", "4"]),
        (2, ["0", " ", "b", "entailment"], ["line 2", "empty"]),
        (1, ["index", "sentence1", "sentence2", "lable"], ["line 1", "label", "did you mean lable"]),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: int, row: list[str], words: list[str]) -> None:
    lines = rows("rte", range(10))
    lines[line - 1] = row
    write_rows(tmp_path / "train.tsv", lines)
    write_rows(tmp_path / "dev.tsv", rows("rte", range(4)))
    with pytest.raises(OptionError) as caught:
        read_set("rte", tmp_path)
    for word in [str(tmp_path / "train.tsv"), *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("label", ["5.01", "-1", "nan", "high", "1e99"])
def test_a_score_out_of_range_is_named(tmp_path: Path, label: str) -> None:
    for name in ("train", "dev", "test"):
        write_rows(tmp_path / f"sts-{name}.csv", [["g", "f", "y", "o", label, "a", "b"]])
    with pytest.raises(OptionError, match=rf"sts-train\.csv, line 1: .*'{label}'.* 0 to 5"):
        read_set("stsb", tmp_path)
