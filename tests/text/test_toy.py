"""The embedded texts: the same everywhere, and made by the grammar that they claim."""

import hashlib
import re
from collections import Counter

import pytest

from rdrop_exp.text.toy import OTHER, WORDS
from tests.text.helpers import read_set

KINDS = {word: kind for kind, words in WORDS.items() for word in words}
GRAMMAR = re.compile(r"DET (ADJ )?NOUN VERB DET (ADJ )?NOUN( PREP DET (ADJ )?NOUN)?")


def grammatical(text: str) -> bool:
    return bool(GRAMMAR.fullmatch(" ".join(KINDS[word] for word in text.split())))


def test_labels_say_whether_a_sentence_is_grammatical() -> None:
    texts = read_set("toy_text")
    assert Counter(texts.labels.tolist()) == {0: 300, 1: 300}
    assert all(
        grammatical(text) == (texts.classes[label] == "grammatical")
        for text, label in zip(texts.first, texts.labels, strict=True)
    )
    assert len(set(texts.first)) > 550


def test_paragraphs_are_grammatical_sentences() -> None:
    texts = read_set("toy_language")
    assert all(grammatical(clause) for text in texts.first for clause in text.split(" . "))
    assert {name: len(items) for name, items in texts.sets.items()} == {"train": 300, "validation": 40, "test": 40}


def test_translations_put_the_verb_last_and_adjectives_after_nouns() -> None:
    texts, back = read_set("toy_translation"), {other: word for word, other in OTHER.items()}
    for source, target in zip(texts.first, texts.second, strict=True):
        words = [back[word] for word in target.split()]
        assert sorted(words) == sorted(source.split())
        kinds = [KINDS[word] for word in words]
        assert kinds[-1] == "VERB"
        assert all(kinds[i - 1] == "NOUN" for i, kind in enumerate(kinds) if kind == "ADJ")


@pytest.mark.parametrize(
    ("name", "digest"),
    [("toy_text", "03cdd2fbeff8"), ("toy_language", "2188a0fd1549"), ("toy_translation", "5251f592f86c")],
)
def test_texts_are_the_same_in_every_version(name: str, digest: str) -> None:
    texts = read_set(name)
    content = "\n".join([*texts.first, *texts.second, *map(str, texts.labels)])
    assert hashlib.sha256(content.encode()).hexdigest()[:12] == digest
