"""What a plan refuses to expect, and what it says it can detect."""

import math
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.config.schema import OptionError
from rdrop_exp.questions.planning import check, pooled
from rdrop_exp.statistics.power import power, seeds_needed
from rdrop_exp.statistics.sequential import PLANNED
from tests.questions.planned import DROPOUT, EARLY, NONE, RDROP, finish, plan, planned

ALPHAS = [RDROP | {"alpha": alpha} for alpha in (0.1, 0.5, 2.0)]


@pytest.mark.parametrize(
    "line",
    [
        {"better": "rdrop alpha=0.5", "than": ["dropout", "none"]},
        {"worse": "none", "than": "rdrop"},
        {"better": "rdrop alpha=2", "than": "rdrop"},
        {"equal": "rdrop alpha=0.1", "to": "dropout"},
        {"shape": "hump", "over": "alpha"},
        {"shape": "rises", "over": "alpha", "of": ["dropout", "rdrop"], "on": "train/loss"},
        {"shape": "flat", "over": "regularizer.name"},
        {"shape": "rises", "over": "training", "of": "rdrop", "on": "val/loss"},
    ],
)
def test_answerable_expectations_are_accepted(tmp_path: Path, line: dict[str, Any]) -> None:
    assert check({"expects": [line], "smallest": 0.5, "spread": 0.1}, plan(tmp_path, NONE, DROPOUT, *ALPHAS))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"better": "rdrop", "than": "droput"}, "than=droput: .*did you mean dropout"),
        ({"better": "rdrop alpha=3", "than": "none"}, "better=rdrop alpha=3: .*0.1, 0.5, 2"),
        ({"better": "rdrop alpha=2", "than": "rdrop alpha=2.0"}, "match the same groups"),
        ({"shape": "hump", "over": "passes"}, "over=regularizer.passes has 1 numeric level"),
        ({"shape": "rises", "over": "dataset.fraction"}, "over=dataset.fraction has 1"),
        ({"shape": "rises", "over": "regularizer.name", "of": ["none", "dropout"]}, "0 numeric levels"),
        ({"shape": "rises", "over": "training", "of": "early_dropout", "on": "val/loss"}, "of=early_dropout"),
        ({"shape": "falls", "best": "dropout", "over": "alpha"}, "best=regularizer.dropout"),
        ({"lower": "rdrop", "than": "none", "on": "analysis/ece"}, "on=analysis/ece .*analysis.every"),
        ({"lower": "rdrop", "than": "none", "on": "train/los"}, "on=train/los"),
        ({"equal": "rdrop", "to": "none"}, "smallest"),
    ],
)
def test_what_cannot_be_answered_is_refused(tmp_path: Path, line: dict[str, Any], said: str) -> None:
    trials = plan(tmp_path, NONE, DROPOUT, *ALPHAS)
    with pytest.raises(OptionError, match=f"^expects, line 1: .*{said}"):
        check({"expects": [line], "spread": 0.1}, trials)


def test_an_option_that_varies_in_two_regularizers_needs_a_choice(tmp_path: Path) -> None:
    trials = plan(tmp_path, DROPOUT, DROPOUT | {"dropout": 0.2}, RDROP, RDROP | {"dropout": 0.2})
    with pytest.raises(OptionError, match=r"dropout, rdrop; choose one with of="):
        check({"expects": [{"shape": "rises", "over": "dropout"}]}, trials)
    check({"expects": [{"shape": "rises", "over": "dropout", "of": "rdrop"}]}, trials)


def test_groups_removed_on_the_command_line_are_only_mentioned(tmp_path: Path) -> None:
    texts = {"expects": [{"better": "rdrop", "than": "none"}], "spread": 1.0}
    trials = plan(tmp_path, NONE, EARLY)
    with pytest.raises(OptionError, match="better=rdrop"):
        check(texts | {"arguments": ["hydra.launcher.dry_run=true", "logger=local"]}, trials)
    said = check(texts | {"arguments": ["regularizer=none,early_dropout"]}, trials)
    assert any("better=rdrop" in sentence for sentence in said)
    with pytest.raises(OptionError, match="beter"):
        check({"expects": [{"beter": "rdrop"}], "arguments": ["seed=0"]}, trials)


def test_groups_are_compared_within_settings(tmp_path: Path) -> None:
    small, large = ({"name": "vit_micro", "label": name, "args": {"depth": n}} for name, n in (("s", 2), ("l", 4)))
    trials = plan(tmp_path, NONE, DROPOUT, model=small) + plan(tmp_path, NONE, model=large)
    texts = {"spread": 1.0}
    for line in (
        {"better": "dropout", "than": "none"},
        {"better": "none model=l", "than": "none model=s"},
        {"shape": "rises", "over": "model.args.depth", "of": "none"},
    ):
        assert len(check(texts | {"expects": [line]}, trials)) == 1
    with pytest.raises(OptionError, match=r"over=model\.args\.depth has 1"):
        check(texts | {"expects": [{"shape": "rises", "over": "model.args.depth", "of": "dropout"}]}, trials)


def smallest_found(sentence: str) -> float:
    return float(sentence.split("differences of ")[1].split()[0])


def test_the_detectable_difference_from_a_given_spread(tmp_path: Path) -> None:
    (said,) = check({"spread": 0.7, "seeds": 8}, plan(tmp_path, NONE, DROPOUT))
    assert "With 8 seeds" in said
    assert power(smallest_found(said) / 0.7, 8, PLANNED) == pytest.approx(0.82, abs=0.03)
    expects = [{"better": "dropout", "than": "none"}] * 3
    (corrected,) = check({"spread": 0.7, "seeds": 8, "expects": expects}, plan(tmp_path, NONE, DROPOUT))
    assert power(smallest_found(corrected) / 0.7, 8, PLANNED / 3) == pytest.approx(0.82, abs=0.03)


def test_seeds_for_the_smallest_difference_worth_having(tmp_path: Path) -> None:
    said = check({"spread": 2.0, "seeds": 4, "smallest": 0.5}, plan(tmp_path, NONE, DROPOUT, seeds=4))
    assert f" {seeds_needed(0.5, 2.0, PLANNED)} seeds" in said[1]


def test_the_detectable_difference_from_finished_trials(tmp_path: Path) -> None:
    trials = plan(tmp_path, NONE, DROPOUT)
    (unknown,) = check({"seeds": 8}, trials)
    assert "unknown" in unknown
    assert "spread" in unknown
    assert check({}, trials) == []  # a plain multirun states nothing
    for i, (none, dropout) in enumerate(zip(trials[:6], trials[8:14], strict=True)):
        finish(none, 0.90)
        finish(dropout, 0.90 + (0.007, -0.007)[i % 2])
    (said,) = check({}, trials)
    sd = math.sqrt(6 * 0.7**2 / 5)
    assert f"differences {sd:.2g}, from 12 finished trials" in said


def test_trials_of_another_experiment_and_damaged_ones(tmp_path: Path) -> None:
    trials = plan(tmp_path, NONE, DROPOUT, seeds=3)
    for i, trial in enumerate(trials):
        finish(trial, 0.90 + 0.01 * (i % 4), tmp_path / "claims" / "alpha" / Path(trial.folder).name)
    other = planned(tmp_path, NONE, 5, model={"name": "resnet18"})
    finish(other, 0.1)  # of another setting
    finish(planned(tmp_path, NONE, 6), "high")
    finish(planned(tmp_path, NONE, 7), 0.5, status="failed")
    broken = tmp_path / "demo" / "broken-0123456789"
    broken.mkdir()
    (broken / "result.json").write_text('{"status": "finished", "options": {"dataset": []}, "group": 1}')
    (said,) = check({"seeds": 3}, trials)
    assert "from 6 finished trials" in said


def test_the_spread_is_pooled_over_pairs_of_groups() -> None:
    a = {(0, 0): 1.0, (1, 0): 2.0, (2, 0): 3.0}
    b = {(0, 0): 1.0, (1, 0): 1.0, (2, 0): 1.0}
    c = {(0, 0): 5.0}
    assert pooled({"s": {"a": a, "b": b, "c": c}, "t": {"a": a, "b": a}}) == pytest.approx(math.sqrt(2 * 1.0 / 4))
    assert pooled({"s": {"a": a, "c": c}}) is None
