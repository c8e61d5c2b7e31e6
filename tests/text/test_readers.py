"""Own tables, parallel texts, summaries and WikiText in the layouts as distributed."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from rdrop_exp.config.canonical import TEXTS
from rdrop_exp.text.readers import READERS, text_fingerprint
from tests.text.helpers import Dataset, read_set, sentence, texts_of, write, write_parallel, write_rows


def sizes(texts) -> dict[str, int]:  # type: ignore[no-untyped-def]
    return {name: len(items) for name, items in texts.sets.items()}


def test_every_data_set_has_a_reader() -> None:
    assert set(READERS) == set(TEXTS)


# -- tables of one's own ----------------------------------------------------------------------------------------------


def test_one_text_and_a_class(tmp_path: Path) -> None:
    lines = [f'"{sentence(i)}, ""{i}""",{(10, 9, 2)[i % 3]}' for i in range(30)]
    write(tmp_path / "labels.csv", ["text,label", *lines])
    texts = read_set("text_csv", tmp_path)
    assert texts.first[4] == f'{sentence(4)}, "4"'
    assert texts.classes == ["2", "9", "10"]
    assert texts.labels[:3].tolist() == [2, 1, 0]
    assert sizes(texts) == {"train": 22, "validation": 2, "test": 6}
    assert len(texts.fingerprint) == 12


def test_two_texts_a_number_and_a_column_of_sets(tmp_path: Path) -> None:
    split = ("train", "TRAINING", "Valid", "test", "")
    lines = [f"{sentence(i)};b {i};{i / 2};{split[i % 5]}" for i in range(30)]
    write(tmp_path / "mine.csv", ["Question;Answer;Score;Part", *lines])
    texts = read_set(
        "text_csv", tmp_path, csv="mine.csv", text_column="question", second_column="Answer", label_column="score",
        split_column="part", label_kind="value",
    )  # fmt: skip
    assert sizes(texts) == {"train": 18, "validation": 6, "test": 6}
    assert "6 rows without a part used for training" in texts.summary
    assert texts_of(texts, "test") == sorted(sentence(i) for i in range(3, 30, 5))
    place = texts.second.index("b 7")
    assert texts.labels[place] == np.float32(3.5)
    assert texts.where(place).endswith("mine.csv, line 9")


def test_sets_of_classes(tmp_path: Path) -> None:
    labels = ["red", "red  blue", "", "green blue"]
    write(tmp_path / "labels.csv", ["text,label", *(f"{sentence(i)},{labels[i % 4]}" for i in range(40))])
    texts = read_set("text_csv", tmp_path, label_kind="set")
    assert texts.classes == ["blue", "green", "red"]
    assert texts.labels[:4].tolist() == [[0, 0, 1], [1, 0, 1], [0, 0, 0], [1, 1, 0]]
    assert texts.labels.dtype == np.float32


def test_the_fingerprint_changes_with_the_users_files(tmp_path: Path) -> None:
    options = {kind: Dataset(name="text_csv", root=str(tmp_path), fingerprint=kind) for kind in ("quick", "content")}
    values = set()
    for i in range(2):
        write(tmp_path / "labels.csv", ["text,label", *(f"{i} {sentence(n)},{n % 2}" for n in range(30))])
        for kind in options:
            assert text_fingerprint(options[kind]) == read_set("text_csv", tmp_path, fingerprint=kind).fingerprint
            values.add(text_fingerprint(options[kind]))
    assert len(values) == 4
    before = {kind: text_fingerprint(each) for kind, each in options.items()}
    (tmp_path / "labels.csv").touch()
    assert text_fingerprint(options["content"]) == before["content"]
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "labels.csv").rename(moved / "labels.csv")
    assert text_fingerprint(Dataset(name="text_csv", root=str(moved), fingerprint="content")) == before["content"]


# -- parallel texts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("train", "valid", "test"), ("train", "dev", "test_2016_flickr"), ("train", "val")])
@pytest.mark.parametrize("zipped", [False, True])
def test_line_aligned_files(tmp_path: Path, names: tuple[str, ...], zipped: bool) -> None:
    write_parallel(tmp_path, dict(zip(names, (40, 10, 8), strict=False)))
    if zipped:
        for path in list(tmp_path.iterdir()):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    texts = read_set("parallel", tmp_path, source="de", target="en")
    assert sizes(texts) == {"train": 40 if len(names) > 2 else 32, "validation": 10, "test": 8}
    assert texts.first[3] == f"de {sentence(3)}"
    assert texts.second == [text.replace("de ", "en ", 1) for text in texts.first]
    swapped = read_set("parallel", tmp_path, source="en", target="de")
    assert (swapped.first, swapped.second) == (texts.second, texts.first)
    assert swapped.fingerprint != texts.fingerprint
    named = read_set("parallel", tmp_path, source="de", target="en", label="mine", validation=0.3)
    assert named.summary.startswith("mine: text to text, ")
    assert "ignored: dataset.validation" in named.summary


def test_a_table_of_both_languages(tmp_path: Path) -> None:
    for name, count in (("train", 20), ("val", 5), ("test", 5)):
        pairs = [(str(i), f'en "{sentence(i)}', f"de {sentence(i)}") for i in range(count)]
        write_rows(tmp_path / f"{name}.tsv", [("id", "en", "de"), *pairs], "\r\n")
    texts = read_set("parallel", tmp_path, source="de", target="en")
    assert texts.first[:2] == [f"de {sentence(0)}", f"de {sentence(1)}"]
    assert texts.second[1] == f'en "{sentence(1)}'
    assert sizes(texts) == {"train": 20, "validation": 5, "test": 5}
    assert texts.where(2).endswith("train.tsv, line 4")


def test_pairs_with_an_empty_line_are_left_out_and_counted(tmp_path: Path) -> None:
    write_parallel(tmp_path, {"train": 20, "valid": 5, "test": 5})
    lines = (tmp_path / "train.de").read_text().splitlines()
    lines[3] = lines[7] = " "
    write(tmp_path / "train.de", lines)
    texts = read_set("parallel", tmp_path, source="de", target="en")
    assert sizes(texts)["train"] == 18
    assert "2 train pairs with an empty text left out (the first in line 4)" in texts.summary
    assert texts.second[3] == f"en {sentence(4)}"
    assert texts.where(3).endswith("train.de, line 5")


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    write_parallel(tmp_path, {"train": 20, "valid": 5, "test": 5})
    strange = "one\u2028two\x0bthree\x85four"
    write(tmp_path / "valid.de", [strange, *"abcd"], "\r\n")
    texts = read_set("parallel", tmp_path, source="de", target="en")
    assert texts.first[20] == strange


# -- summaries and WikiText -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".jsonl.gz"])
def test_json_lines_of_sentences_and_several_summaries(tmp_path: Path, ending: str) -> None:
    for name, count in (("train", 20), ("dev", 4), ("test", 4)):
        items = [{"source": [f"First {i}.", sentence(i)], "target": [f"s {i}", "other"], "id": i} for i in range(count)]
        raw = "\n".join(map(json.dumps, items)).encode()
        (tmp_path / f"{name}{ending}").write_bytes(gzip.compress(raw) if ending.endswith("gz") else raw)
    texts = read_set("summaries", tmp_path, source="source", target="target")
    assert texts.first[2] == f"First 2. {sentence(2)}"
    assert texts.second[:2] == ["s 0", "s 1"]
    assert sizes(texts) == {"train": 20, "validation": 4, "test": 4}


def test_a_csv_of_documents_and_summaries(tmp_path: Path) -> None:
    rows = [f'"Line one, {i}\nand two",summary {i}' for i in range(20)]
    write(tmp_path / "train.csv", ["article,highlights", *rows])
    texts = read_set("summaries", tmp_path, source="article", target="highlights")
    assert texts.first[5] == "Line one, 5\nand two"
    assert texts.second[5] == "summary 5"
    assert sum(sizes(texts).values()) == 20
    assert min(sizes(texts).values()) > 0


@pytest.mark.parametrize(
    "names", [("train.txt", "valid.txt", "test.txt"), ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens")]
)
@pytest.mark.parametrize("inside", [False, True])
def test_wikitext_is_paragraphs(tmp_path: Path, names: tuple[str, ...], inside: bool) -> None:
    folder = tmp_path / "wikitext-2" if inside else tmp_path
    for name, count in zip(names, (9, 3, 2), strict=True):
        write(folder / name, [line for i in range(count) for line in (" ", f" = {i} = ", f" {sentence(i)} <unk> ")])
    texts = read_set("wikitext2", tmp_path)
    assert texts.kind == "language"
    assert [len(texts.sets[part]) for part in ("train", "validation", "test")] == [18, 6, 4]
    assert texts.first[:2] == ["= 0 =", f"{sentence(0)} <unk>"]
    assert texts.where(1).endswith("line 3")
    assert texts.sets["train"].tolist() == list(range(18))  # a stream has an order


def test_the_fingerprint_changes_with_the_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("text,label\na,x\nb,y\n")
    options = Dataset(name="text_csv", root=str(tmp_path), fingerprint="content", vocabulary="vocab.txt")
    values = set()
    for tokens in ("[PAD]\na", "[PAD]\nb"):
        (tmp_path / "vocab.txt").write_text(tokens)
        values.add(text_fingerprint(options))
    assert len(values) == 2
