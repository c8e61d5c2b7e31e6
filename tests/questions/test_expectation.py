"""Lines of `expects`: what they mean, and how a wrong one is refused."""

from typing import Any

import pytest

from rdrop_exp.config.schema import OptionError
from rdrop_exp.questions.expectation import Kind, Shape, parse, parse_line


def line(**more: Any) -> Any:
    return parse_line({"claim": "so it is"} | more, "expects, line 3", smallest=0.5)


def test_a_comparison() -> None:
    e = line(better="rdrop passes=3", than=["dropout", "none"], on="test/loss", source="arXiv 2106.14448")
    assert (e.kind, e.first.text) == (Kind.BETTER, "rdrop passes=3")
    assert [other.text for other in e.others] == ["dropout", "none"]
    assert (e.claim, e.source, e.on.name, e.on.sign) == ("so it is", "arXiv 2106.14448", "test/loss", -1)


def test_a_line_without_a_claim_is_its_own() -> None:
    (e,) = parse([{"equal": "rdrop", "to": "dropout"}], 0.5)
    assert e.claim == "equal: rdrop, to: dropout"
    assert e.on is None


def test_a_shape() -> None:
    e = line(shape="hump", over="alpha", of="rdrop")
    assert (e.shape, e.over, [s.text for s in e.of], e.best) == (Shape.HUMP, "regularizer.alpha", ["rdrop"], "")
    e = line(shape="falls", best="dropout", over="dataset.fraction", of=["none", "dropout"])
    assert (e.best, e.over, len(e.of)) == ("regularizer.dropout", "dataset.fraction", 2)
    e = line(shape="rises", over="training", of="dropout", on="train/consistency", at=[0, 0.5])
    assert (e.over, e.at) == ("training", (0.0, 0.5))


def test_yaml_reads_the_key_on_as_true() -> None:
    (e,) = parse([{True: "val/loss", "lower": "rdrop", "than": "none"}], None)
    assert e.on is not None
    assert e.on.name == "val/loss"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"beter": "rdrop", "than": "none"}, "beter.*did you mean better"),
        ({"better": "rdrop", "then": "none"}, "then.*did you mean than"),
        ({"better": "rdrop"}, "than is missing"),
        ({"better": "rdrop", "than": []}, "than is missing"),
        ({"better": "rdrop", "worse": "none", "than": "dropout"}, "better and worse"),
        ({"better": "rdrop", "than": "none", "on": "test/acuracy"}, "on=test/acuracy.*did you mean test/accuracy"),
        ({"better": "rdrop", "than": "none", "on": "grad_norm"}, "on=grad_norm.*higher or lower"),
        ({"better": "rdrop", "than": "none", "at": [0, 0.2]}, "at=.*on="),
        ({"lower": "rdrop", "than": "none", "at": [0.5, 0.2], "on": "train/loss"}, "at="),
        ({"lower": "rdrop", "than": "none", "at": "early", "on": "train/loss"}, "at=early"),
        ({"lower": "rdrop", "than": "none", "at": [0, 1], "on": "test/loss"}, "at="),
        ({"better": {"rdrop": 1}, "than": "none"}, "better=.*must be text"),
        ({"better": "rdrop alhpa=1", "than": "none"}, "better=rdrop alhpa=1.*did you mean alpha"),
        ({"shape": "humpp", "over": "alpha"}, "shape=humpp.*did you mean hump"),
        ({"shape": "hump", "over": "alhpa"}, "over.*alhpa.*did you mean alpha"),
        ({"shape": "hump"}, "over is missing"),
        ({"shape": "hump", "over": "alpha", "best": "dropout"}, "best=regularizer.dropout"),
        ({"shape": "rises", "over": "training", "on": "val/loss"}, "over=training.*of="),
        ({"shape": "rises", "over": "training", "of": "rdrop"}, "over=training.*on="),
        ({"shape": "hump", "over": "alpha", "on": "grad_norm"}, "shape=hump.*on=grad_norm"),
        ({}, "the line expects nothing"),
        ("better than none", "must be a mapping"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(given: Any, said: str) -> None:
    with pytest.raises(OptionError, match=f"^expects, line 2: .*{said}"):
        parse([{"better": "rdrop", "than": "none"}, given], 0.5)


@pytest.mark.parametrize("given", [{"equal": "rdrop", "to": "none"}, {"shape": "flat", "over": "alpha"}])
def test_equality_needs_the_smallest_difference(given: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="needs smallest"):
        parse([given], None)


@pytest.mark.parametrize("given", ["rdrop", {"better": "rdrop"}, 3])
def test_expects_is_a_list(given: Any) -> None:
    with pytest.raises(OptionError, match=r"^expects="):
        parse(given, None)
