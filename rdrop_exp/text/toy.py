"""Small text data sets made by a grammar, so that every text task can be tried without a file.

toy_text         is the sentence grammatical? (in the others, two words of one clause are exchanged)
toy_language     paragraphs of such sentences
toy_translation  the sentence in a made-up language: other words, verb last, adjectives after their noun
"""

import random
from collections.abc import Callable

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.text.texts import Part, Texts, assemble

WORDS = {
    "DET": ["the", "a", "this", "every", "some"],
    "ADJ": ["small", "old", "quiet", "green", "proud", "tired", "clever"],
    "NOUN": ["cat", "teacher", "river", "engine", "garden", "doctor", "machine", "child"],
    "VERB": ["sees", "follows", "repairs", "paints", "admires", "finds"],
    "PREP": ["near", "behind", "under", "with"],
}
OTHER = {word: stem for words in WORDS.values() for word, stem in ((w, f"{w[::-1]}o") for w in words)}
"""The made-up language: each word backwards, with an ending."""

Clause = list[tuple[str, str]]
"""(part of speech, word) in order."""


def read_toy(options: Dataset, files: object = None) -> Texts:
    """The toy data set of that name; the same on every machine."""
    make, kind = TOYS[options.name]
    return assemble(options, kind, make(random.Random(17)))  # type: ignore[arg-type]


def _noun_phrase(draw: random.Random) -> Clause:
    adjective = [("ADJ", draw.choice(WORDS["ADJ"]))] if draw.random() < 0.5 else []
    return [("DET", draw.choice(WORDS["DET"])), *adjective, ("NOUN", draw.choice(WORDS["NOUN"]))]


def _clause(draw: random.Random) -> Clause:
    clause = [*_noun_phrase(draw), ("VERB", draw.choice(WORDS["VERB"])), *_noun_phrase(draw)]
    if draw.random() < 0.4:
        clause += [("PREP", draw.choice(WORDS["PREP"])), *_noun_phrase(draw)]
    return clause


def _text(clause: Clause) -> str:
    return " ".join(word for _, word in clause)


def _sentences(draw: random.Random) -> dict[str, Part]:
    part = Part()
    for i in range(600):
        clause = _clause(draw)
        if i % 2:
            while True:
                a, b = sorted(draw.sample(range(len(clause)), 2))
                if clause[a][0] != clause[b][0]:
                    break
            clause[a], clause[b] = clause[b], clause[a]
        part.first.append(_text(clause))
        part.labels.append("ungrammatical" if i % 2 else "grammatical")
    return {"train": part}


def _paragraphs(draw: random.Random) -> dict[str, Part]:
    sizes = {"train": 300, "validation": 40, "test": 40}
    return {name: Part(first=[" . ".join(_text(_clause(draw)) for _ in range(4)) for _ in range(n)])
            for name, n in sizes.items()}  # fmt: skip


def _translated(clause: Clause) -> str:
    verb = next(i for i, (kind, _) in enumerate(clause) if kind == "VERB")
    words = [*clause[:verb], *clause[verb + 1 :], clause[verb]]
    for i in range(len(words) - 1):
        if words[i][0] == "ADJ" and words[i + 1][0] == "NOUN":
            words[i], words[i + 1] = words[i + 1], words[i]
    return " ".join(OTHER[word] for _, word in words)


def _pairs(draw: random.Random) -> dict[str, Part]:
    clauses = [_clause(draw) for _ in range(600)]
    return {"train": Part(first=[_text(c) for c in clauses], second=[_translated(c) for c in clauses])}


TOYS: dict[str, tuple[Callable[[random.Random], dict[str, Part]], str]] = {
    "toy_text": (_sentences, "class"),
    "toy_language": (_paragraphs, "language"),
    "toy_translation": (_pairs, "pair"),
}
