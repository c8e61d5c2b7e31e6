"""Which groups a text means, and what is said of one that means none."""

from pathlib import Path

import pytest

from rdrop_exp.config.schema import OptionError
from rdrop_exp.questions.selector import equals, option_name, parse_selector, why_none
from tests.questions.planned import DROPOUT, NONE, RDROP, groups, plan

ROOT = Path("outputs")


def chosen(text: str) -> list[str]:
    """Names of the groups of a small sweep that a selector matches, with their α and passes."""
    trials = plan(ROOT, NONE, DROPOUT, RDROP, RDROP | {"alpha": 2}, RDROP | {"passes": 3}, seeds=1)
    trials += plan(ROOT, NONE, seeds=1, model={"name": "vit_micro", "args": {"depth": 3}, "label": "small"})
    selector = parse_selector(text, "better")
    flats = [flat for flat in groups(trials).values() if selector.matches(flat)]
    return [f"{f['regularizer.name']} {f['regularizer.alpha']:g} {f['regularizer.passes']}" for f in flats]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("rdrop", ["rdrop 0.5 2", "rdrop 2 2", "rdrop 0.5 3"]),
        ("rdrop alpha=2", ["rdrop 2 2"]),
        ("rdrop alpha=0.50 passes=2", ["rdrop 0.5 2"]),
        ("rdrop  regularizer.passes=3", ["rdrop 0.5 3"]),
        ("dropout=0.1 alpha=0", ["dropout 0 2"]),
        ("none model=small", ["none 0 2"]),
        ("model.args.depth=3", ["none 0 2"]),
        ("none dataset=digits", ["none 0 2", "none 0 2"]),
        ("rdrop alpha=7", []),
        ("droput", []),
    ],
)
def test_a_selector_matches(text: str, names: list[str]) -> None:
    assert chosen(text) == names


@pytest.mark.parametrize(
    ("key", "name"),
    [("alpha", "regularizer.alpha"), ("lr", "optimizer.lr"), ("fraction", "dataset.fraction"),
     ("dropout", "regularizer.dropout"), ("epochs", "schedule.epochs"), ("every", "regularizer.every"),
     ("model.args.depth", "model.args.depth"), ("precision", "precision")],
)  # fmt: skip
def test_short_names_of_options(key: str, name: str) -> None:
    assert option_name(key, "over") == name


@pytest.mark.parametrize("text", ["rdrop none", "", "rdrop alhpa=0.5", "rdrop seed=1", "threads=2", "args=3"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"line 1: than=") as refused:
        parse_selector(text, "line 1: than")
    assert "alhpa" not in text or "did you mean alpha?" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("droput", "did you mean dropout"), ("rdrop alpha=3", "0.5, 2"), ("rdrop alpha=2 passes=3", "all of these")],
)
def test_why_no_group_matches(text: str, said: str) -> None:
    flats = list(groups(plan(ROOT, DROPOUT, RDROP | {"alpha": 2}, RDROP | {"passes": 3}, seeds=1)).values())
    assert said in why_none(parse_selector(text, "better"), flats)


@pytest.mark.parametrize(
    ("value", "text", "equal"),
    [(0.1, "1e-1", True), (3, "3.0", True), (3, "three", False), (True, "true", True), (True, "1", False),
     (None, "null", True), ("linear", "linear", True), ([0.9, 0.95], "[0.9,0.95]", True)],
)  # fmt: skip
def test_values_as_text(value: object, text: str, equal: bool) -> None:
    assert equals(value, text) is equal
