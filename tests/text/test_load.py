"""A text data set as a whole: tokenized once, cached, cut or refused where too long."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdrop_exp.config.schema import OptionError
from rdrop_exp.data import cache
from rdrop_exp.text import load as load_module
from tests.text.helpers import load, sentence, write, write_cola, write_parallel


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A name for each time that texts are tokenized."""
    calls, encoded = [], load_module._encoded

    def counted(texts: Any, *rest: Any) -> Any:
        calls.append(texts.kind)
        return encoded(texts, *rest)

    monkeypatch.setattr(load_module, "_encoded", counted)
    return calls


def test_texts_are_tokenized_once(tmp_path: Path, encodings: list[str]) -> None:
    write_cola(tmp_path)
    first, cached = load("cola", tmp_path), load("cola", tmp_path)
    assert encodings == ["class"]
    for name, store in first.stores.items():
        assert store.flat.tolist() == cached.stores[name].flat.tolist()
        assert store.lengths.tolist() == cached.stores[name].lengths.tolist()
    load("cola", tmp_path, max_length=20)
    write_cola(tmp_path, dev=11)
    load("cola", tmp_path)
    assert len(encodings) == 3


@pytest.mark.parametrize("size", [0, 10, 300])
def test_a_damaged_cache_is_only_a_warning(
    tmp_path: Path, encodings: list[str], caplog: pytest.LogCaptureFixture, size: int
) -> None:
    write_cola(tmp_path)
    first = load("cola", tmp_path)
    (path,) = cache.folder().glob("tokens-*.npz")
    path.write_bytes(path.read_bytes()[:size])
    assert load("cola", tmp_path).lengths.tolist() == first.lengths.tolist()
    assert len(encodings) == 2
    assert "Cannot read cached tokens" in caplog.text
    caplog.clear()
    load("cola", tmp_path)
    assert len(encodings) == 2
    assert not caplog.records


def test_a_cache_that_cannot_be_written_is_only_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_cola(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load("cola", tmp_path).sizes["test"] == 10
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert ["Cannot cache" in record.message for record in warned] == [True, True]  # the tokenizer, and the tokens


def test_long_items_are_cut_and_counted(tmp_path: Path) -> None:
    write_cola(tmp_path)
    whole, short = load("cola", tmp_path), load("cola", tmp_path, max_length=12)
    lengths = whole.stores["input"].lengths
    count = int((lengths > 12).sum())
    assert 0 < count < len(lengths)
    assert f"{count} items cut to 12 tokens" in short.summary
    assert short.stores["input"].lengths.tolist() == np.minimum(lengths, 12).tolist()
    assert "cut to" not in whole.summary
    assert f"{lengths.sum():,} tokens" in whole.summary
    assert "vocabulary of 307 (bpe)" in whole.summary


def test_long_items_are_refused_where_the_user_asks_for_it(tmp_path: Path) -> None:
    write_cola(tmp_path)
    lengths = load("cola", tmp_path).stores["input"].lengths
    long = np.flatnonzero(lengths > 12)
    with pytest.raises(OptionError) as caught:
        load("cola", tmp_path, max_length=12, too_long="error")
    for words in ("dataset.max_length=12", f"train.tsv, line {long[0] + 1}", f"{len(long)} items"):
        assert words in str(caught.value)
    most = int(lengths.max())
    assert load("cola", tmp_path, max_length=most, too_long="error").sizes["test"] == 10


def test_long_pairs_are_cut_on_both_sides(tmp_path: Path) -> None:
    write_parallel(tmp_path, {"train": 30, "valid": 5, "test": 5})
    write(tmp_path / "test.en", ["short"] * 4 + ["long " * 30])
    data = load("parallel", tmp_path, source="de", target="en", max_length=16)
    assert data.stores["input"].lengths.max() == 16
    assert data.stores["target"].lengths.max() == 17  # the begin token, then 16 to predict
    whole = load("parallel", tmp_path, source="de", target="en", max_length=500)
    both = (whole.stores["input"].lengths > 16) | (whole.stores["target"].lengths > 17)
    assert both[-1]
    assert f"{both.sum()} items cut to 16 tokens" in data.summary
    ends = data.stores["target"].flat[data.stores["target"].starts + data.stores["target"].counts - 1]
    assert set(ends.tolist()) == {data.spec.tokenizer.end}


def test_a_training_text_shorter_than_a_block_is_refused(tmp_path: Path) -> None:
    for name in ("train", "valid", "test"):
        write(tmp_path / f"{name}.txt", [sentence(5)])
    with pytest.raises(OptionError, match=r"dataset\.max_length=500"):
        load("wikitext2", tmp_path, max_length=500)


@pytest.mark.parametrize(
    ("name", "values", "kind", "classes"),
    [
        ("toy_text", {}, "class", 2),
        ("toy_language", {"max_length": 16}, "language", 0),
        ("toy_translation", {}, "pair", 0),
    ],
)
def test_the_shape_of_a_task(name: str, values: dict[str, Any], kind: str, classes: int) -> None:
    data = load(name, **values)
    assert (data.spec.kind, data.spec.classes) == (kind, classes)
    assert data.spec.length == values.get("max_length", 128)
    assert set(data.sizes) == {"train", "validation", "test"}
    assert data.fingerprint == name
    batch = next(data.train(0))
    assert (batch.mask is None) == (kind == "class")
