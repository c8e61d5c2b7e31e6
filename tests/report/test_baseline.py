"""Which group is the baseline, and who wins a tie."""

import re
from pathlib import Path

import pytest

from rdrop_exp.config.schema import OptionError
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.conclusion import conclusion, sentences
from tests.report.trials import EARLY, NONE, RDROP, labels, only, write, write_trial


def test_baseline_by_label_and_by_regularizer(example: Path) -> None:
    write(example, RDROP | {"alpha": 1.0}, [0.95, 0.95, 0.94])
    assert only(example, baseline="early_dropout").baseline.label == "early_dropout"
    assert only(example, baseline="rdrop alpha=0.5").baseline.label == "rdrop alpha=0.5"
    comparison = only(example, baseline="rdrop")
    assert comparison.baseline.label == "rdrop alpha=1"
    assert any("`rdrop alpha=1`" in note and "of 2 `rdrop`" in note for note in comparison.notes)
    with pytest.raises(OptionError, match=r"--baseline=rdrp is no group or regularizer of this report; did you mean"):
        make_report([example], baseline="rdrp")


def test_no_group_called_none(tmp_path: Path) -> None:
    write(tmp_path, RDROP, [0.9, 0.91])
    write(tmp_path, EARLY, [0.92, 0.95])
    comparison = only(tmp_path)
    assert comparison.baseline.label == "early_dropout"
    assert "No group is named `none`" in comparison.notes[0]


def test_a_baseline_that_has_not_finished(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0, status="started")
    write(tmp_path, RDROP, [0.9, 0.91])
    comparison = only(tmp_path)
    assert comparison.baseline.label == "none"
    assert "The baseline `none` has no finished trial yet." in comparison.notes
    assert "baseline `none` has no finished trial" in conclusion(comparison)


def test_the_best_tuned_baseline_is_taken(tmp_path: Path) -> None:
    for lr, value in ((1e-3, 0.90), (3e-3, 0.92)):
        write(tmp_path, NONE, [value, value + 0.01], optimizer={"lr": lr})
        write(tmp_path, RDROP, [value + 0.02, value + 0.01], optimizer={"lr": lr})
    comparison = only(tmp_path)
    assert comparison.baseline.label == "none lr=0.003"
    assert labels(comparison)[-1] == "none lr=0.001"


def test_a_tie_with_the_baseline_is_a_tie_that_it_wins(tmp_path: Path) -> None:
    """`early_dropout` comes before `none` in the alphabet, and 0.7 + 0.2 is not 0.9."""
    for regularizer, val in ((NONE, 0.9), (EARLY, 0.7 + 0.2), (RDROP, 0.8)):
        for seed in range(3):
            write_trial(tmp_path, regularizer, seed, test=0.9 + seed**2 / 1000, val=val)
    comparison = only(tmp_path)
    assert labels(comparison) == ["none", "early_dropout", "rdrop"]
    assert [row.rank for row in comparison.rows] == [1, 1, 3]
    assert comparison.best is comparison.baseline
    first, _ = sentences(comparison)
    assert re.search(r"[Tt]ied .*baseline `none` and `early_dropout`", first)


def test_a_tie_of_two_others_names_no_best(tmp_path: Path) -> None:
    for regularizer, val in ((NONE, 0.8), (EARLY, 0.9), (RDROP, 0.9)):
        for seed in range(3):
            gain = 0.01 + 0.001 * seed**2 if regularizer is RDROP else 0.001 * seed
            write_trial(tmp_path, regularizer, seed, test=0.9 + gain, val=val)
    comparison = only(tmp_path)
    first, second = sentences(comparison)
    assert [row.label for row in comparison.tied] == ["early_dropout", "rdrop"]
    assert re.match(r"`rdrop` .*better.* `none` \(test \+1\.07 points", first)  # the finding comes first
    assert re.search(r"[Tt]ied .*`early_dropout` \(test 0\.00 points, .*\) and `rdrop` \(test \+1\.07 points", second)


def test_the_declared_baseline_is_taken_and_a_missing_one_is_a_warning(example: Path) -> None:
    sweep = example / "demo" / "sweep.yaml"
    sweep.write_text("sweep: demo\ntitle: Which one?\nanswers: Is it better?\nbaseline: regularizer=early_dropout\n")
    report = make_report([example])
    assert (report.title, report.question) == ("Which one?", "Is it better?")
    assert report.comparisons[0].baseline.label == "early_dropout"
    assert report.comparisons[0].warnings == []
    assert only(example, baseline="rdrop").baseline.label == "rdrop"
    sweep.write_text("sweep: demo\nbaseline: dropout\n")
    comparison = only(example)
    assert comparison.baseline.label == "none"
    assert [re.search(r"`dropout`.* `none`", warning) is not None for warning in comparison.warnings] == [True]
    write(example, RDROP | {"alpha": 1.0}, [0.8, 0.8, 0.7])
    sweep.write_text("sweep: demo\nbaseline: rdrop alpha=1\n")
    assert (only(example).baseline.label, only(example).warnings) == ("rdrop alpha=1", [])
    sweep.write_text("sweep: [1\n")
    report = make_report([example])
    assert (report.title, report.comparisons[0].warnings) == ("demo", [])


def test_best_is_the_baseline(tmp_path: Path) -> None:
    write(tmp_path, NONE, [0.95, 0.96])
    write(tmp_path, RDROP, [0.90, 0.93])
    first, second = sentences(only(tmp_path))
    assert re.fullmatch(r".*baseline `none` is best.*95\.50% accuracy on test, 2 seeds\)\.", first)
    assert re.fullmatch(r".*`rdrop` \(.*\b\d+ more seeds .*\)\.", second)
