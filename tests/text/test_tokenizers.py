"""Tokenizers: WordPiece of a file, BPE of the training set, and a local model's own."""

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.schema import OptionError
from rdrop_exp.text import tokenizers
from rdrop_exp.text.tokenizers import BEGIN, END, PAD, UNKNOWN, Tokenizer, make_tokenizer
from tests.text.helpers import load, sentence, write, write_cola, write_parallel

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [*"abcdnot.,'", *(f"##{letter}" for letter in "abdnot"), "an", "and", "not", "##and", "##ton", "boat", "##t'"]
CORPUS = [sentence(i) for i in range(0, 2000, 7)]


def tokenizer(corpus: list[str] = CORPUS, model: str = "bert", **dataset: Any) -> Tokenizer:
    return make_tokenizer(from_dict({"dataset": {"name": "cola"} | dataset, "model": {"name": model}}), corpus)


def vocabulary(folder: Path, tokens: list[str]) -> str:
    write(folder / "vocabulary.txt", tokens)
    return str(folder / "vocabulary.txt")


# -- WordPiece --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return tokenizer(vocabulary=vocabulary(tmp_path_factory.mktemp("vocabulary"), SPECIAL + PIECES))


def _slow_wordpiece(text: str, pieces: list[str]) -> list[str]:
    """Words and single signs of punctuation in lower case; of each, the longest piece again and again."""
    spaced = "".join(f" {c} " if c in string.punctuation else c for c in text.lower())
    tokens = []
    for word in spaced.split():
        rest, found = word, list[str]()
        while rest:
            prefix = "##" if found else ""
            length = next((n for n in range(len(rest), 0, -1) if prefix + rest[:n] in pieces), 0)
            if not length:
                found = ["[UNK]"]
                break
            found.append(prefix + rest[:length])
            rest = rest[length:]
        tokens += found
    return tokens


@given(st.text(st.sampled_from("aabbddnnoott ANTx.,'-\t\n"), max_size=40))
def test_wordpiece_is_the_greedy_longest_match(wordpiece: Tokenizer, text: str) -> None:
    expected = _slow_wordpiece(text, PIECES)
    (ids,) = wordpiece.plain([text])
    assert wordpiece.backend.convert_ids_to_tokens(ids) == expected


def test_wordpiece_marks_pairs_and_cuts_them(wordpiece: Tokenizer) -> None:
    names = wordpiece.backend.convert_ids_to_tokens
    ids, segments, long = wordpiece.encode(["and", "not a boat"], ["a", "no"], 7)
    assert names(ids[0]) == ["[CLS]", "and", "[SEP]", "a", "[SEP]"]
    assert segments[0] == [0, 0, 0, 1, 1]
    assert names(ids[1]) == ["[CLS]", "not", "a", "[SEP]", "n", "##o", "[SEP]"]  # the longer text is cut
    assert long == [1]
    assert (wordpiece.begin, wordpiece.end, wordpiece.pad, wordpiece.size) == (2, 3, 0, len(SPECIAL + PIECES))
    assert wordpiece.decode(ids) == ["and a", "not a no"]


def test_capital_letters_in_a_vocabulary_keep_case(tmp_path: Path) -> None:
    cased = tokenizer(vocabulary=vocabulary(tmp_path, [*SPECIAL, "And", "and"]))
    assert cased.plain(["And and AND"]) is not None
    assert next(cased.plain(["And and AND"])) == [5, 6, 1]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (SPECIAL[:3] + PIECES, ["[SEP]"]),
        ([*SPECIAL, "a", "b", "a"], ["line 6", "'a'"]),
        ([], ["is empty"]),
    ],
)
def test_unusable_vocabularies(tmp_path: Path, tokens: list[str], words: list[str]) -> None:
    path = vocabulary(tmp_path, tokens)
    with pytest.raises(OptionError) as caught:
        tokenizer(vocabulary=path)
    for word in [path, *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ({"tokenizer": "wordpiece"}, ["dataset.tokenizer=wordpiece", "dataset.vocabulary"]),
        ({"vocabulary": "nowhere.txt"}, ["dataset.vocabulary=nowhere.txt"]),
        ({"vocabulary": "."}, ["dataset.vocabulary=."]),
        ({"tokenizer": "model"}, ["dataset.tokenizer", "model.name=no_such_model"]),
    ],
)
def test_tokenizers_that_are_not_there(dataset: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        tokenizer(model="no_such_model", **dataset)
    for word in words:
        assert word in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"pip install 'rdrop-exp\[text\]'"):
        tokenizer()


# -- BPE --------------------------------------------------------------------------------------------------------------


def test_bpe_of_the_same_text_is_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = tokenizer(vocabulary_size=400)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # trained again
    again, other = tokenizer(vocabulary_size=400), tokenizer(CORPUS[:20], vocabulary_size=400)
    assert again.fingerprint() == first.fingerprint() != other.fingerprint()
    names = first.backend.convert_ids_to_tokens
    assert names(range(4)) == [PAD, BEGIN, END, UNKNOWN]
    assert (first.pad, first.begin, first.end) == (0, 1, 2)
    assert 300 < first.size <= 400
    ids, segments, long = first.encode([CORPUS[0]], [CORPUS[1]], 100)
    assert names(ids[0])[0] == BEGIN
    assert [i for i, token in enumerate(ids[0]) if token == first.end] == [segments[0].index(1) - 1, len(ids[0]) - 1]
    assert long == []


@settings(max_examples=30)
@given(st.text(max_size=30))
def test_bpe_loses_no_byte(bpe: Tokenizer, text: str) -> None:
    if any(special in text for special in (PAD, BEGIN, END, UNKNOWN)):
        return
    (ids,) = bpe.plain([text])
    assert bpe.backend.backend_tokenizer.decode(ids).removeprefix(" ") == text.removeprefix(" ")


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return tokenizer(vocabulary_size=400)


def test_a_trained_bpe_is_cached(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    trainings, train = [], tokenizers._train_bpe

    def counted(corpus: list[str], size: int) -> Any:
        trainings.append((len(corpus), size))
        return train(corpus, size)

    monkeypatch.setattr(tokenizers, "_train_bpe", counted)
    first, cached = tokenizer(), tokenizer()
    assert trainings == [(len(CORPUS), 8000)]
    assert first.fingerprint() == cached.fingerprint()
    assert first.encode(CORPUS[:5], [], 20) == cached.encode(CORPUS[:5], [], 20)
    tokenizer(CORPUS[1:])
    tokenizer(vocabulary_size=301)
    tokenizer(["".join(CORPUS[:2]), *CORPUS[2:]])  # the same characters, other texts
    assert len(trainings) == 4
    for path in tokenizers.cache.folder().glob("bpe-*.json"):
        path.write_text(path.read_text()[:-9])
    assert tokenizer().fingerprint() == first.fingerprint()
    assert len(trainings) == 5
    assert "Cannot read cached tokenizer" in caplog.text


def test_bpe_is_trained_on_the_training_set_alone_and_shared_by_both_languages(tmp_path: Path) -> None:
    write_parallel(tmp_path, {"train": 40, "valid": 5, "test": 5})
    write(tmp_path / "test.de", ["zzqqzzqq"] * 5)
    data = load("parallel", tmp_path, source="de", target="en", vocabulary_size=500)
    tokens = data.spec.tokenizer.backend.get_vocab()
    assert {"Ġde", "Ġen", "Ġsmall"} <= set(tokens)
    assert not any("zz" in token for token in tokens)
    german, english = data.stores["input"], data.stores["target"]
    small = tokens["Ġsmall"]
    assert (german.flat == small).any()
    assert (english.flat == small).any()


# -- a model's own ----------------------------------------------------------------------------------------------------


def test_a_local_models_own_tokenizer(tmp_path: Path) -> None:
    saved = tokenizer(vocabulary_size=350)
    folder = tmp_path / "model"
    saved.backend.save_pretrained(folder)
    for choice in ("auto", "model"):
        own = tokenizer(model=str(folder), tokenizer=choice)
        assert own.kind == "model"
        assert own.backend.get_vocab() == saved.backend.get_vocab()
        assert own.encode(CORPUS[:3], [], 30)[0] == saved.encode(CORPUS[:3], [], 30)[0]
    assert tokenizer(model=str(folder), tokenizer="bpe").kind == "bpe"


def test_a_tokenizer_without_padding_pads_with_its_end(tmp_path: Path) -> None:
    saved = tokenizer(vocabulary_size=350)
    saved.backend.pad_token = None
    saved.backend.save_pretrained(tmp_path / "model")
    own = tokenizer(model=str(tmp_path / "model"))
    assert own.pad == own.end


def test_the_fingerprint_is_of_vocabulary_and_rules_alone() -> None:
    fresh, used = tokenizer(vocabulary_size=350), tokenizer(vocabulary_size=350)
    used.encode(CORPUS[:3], [], 4)
    used.backend(CORPUS[:3], padding=True)
    assert used.fingerprint() == fresh.fingerprint()

    class Written:
        def get_vocab(self) -> dict[str, int]:
            return {"b": 1, "a": 0}

    assert Tokenizer(Written(), "model").fingerprint() == "Written [('a', 0), ('b', 1)]"


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"dataset\.tokenizer.*model\.name="):
        tokenizer(model=str(tmp_path))


def test_the_cache_of_tokens_goes_by_tokenizer(tmp_path: Path) -> None:
    write_cola(tmp_path)
    sizes = [load("cola", tmp_path, vocabulary_size=size).lengths.sum() for size in (300, 330, 300)]
    assert sizes[0] == sizes[2] > sizes[1]
