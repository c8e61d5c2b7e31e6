"""Groups, rankings and differences: a hand-computed example, and everything that can be missing."""

import math
import re
from pathlib import Path

import pytest

from rdrop_exp.config.schema import OptionError
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.comparison import Report, Verdict
from rdrop_exp.report.conclusion import conclusion, conclusions, sentences, status_line
from rdrop_exp.statistics.power import seeds_needed
from tests.report.trials import EARLY, NONE, RDROP, labels, only, write, write_trial


def test_the_example_by_hand(example: Path) -> None:
    comparison = only(example)
    assert labels(comparison) == ["rdrop", "early_dropout", "none"]
    assert comparison.baseline.label == "none"
    rdrop, early, none = comparison.rows
    assert none.difference is None
    assert rdrop.test.mean == pytest.approx(91.4667, abs=1e-4)
    assert rdrop.test.sd == pytest.approx(0.3055, abs=1e-4)
    one, two = rdrop.difference, early.difference
    assert one is not None
    assert two is not None
    assert [one.mean, one.sd] == pytest.approx([0.9667, 0.2082], abs=1e-4)
    # Two independent comparisons at 4.5 %: each at 1 − √0.955 = 0.022764, where t of two degrees is 6.5148.
    assert one.interval == pytest.approx((0.1837, 1.7497), abs=1e-4)  # 0.9667 ∓ 6.5148 · 0.2082 / √3
    assert one.p == pytest.approx(0.01510, abs=1e-5)  # two degrees: 1 − t / √(2 + t²), t = 8.043
    assert one.p_adjusted == pytest.approx(0.01511 * 0.05 / 0.022764, abs=2e-5)
    assert [two.p, two.p_adjusted] == pytest.approx([0.52860, 1.0], abs=1e-5)
    assert (one.verdict, two.verdict) == (Verdict.BETTER, Verdict.INCONCLUSIVE)
    needed = seeds_needed(0.2 / 3, 0.152753, level=0.022764)
    assert needed is not None
    assert two.more_seeds == needed - 3
    assert one.p_sign_flip == 0.25
    assert one.interval_sign_flip is None


def test_the_conclusion_of_the_example(example: Path) -> None:
    first, second = sentences(only(example))
    assert re.fullmatch(
        r"`rdrop` .*better.* `none` \(test \+0\.97 points, .* 0\.18 to 1\.75, 3 paired seeds\)\.", first
    )
    assert re.search(r"among 3 groups .*--confirm", second)
    assert re.search(r"nconclusive: `early_dropout` \(.*\b51 more seeds.* 80 % power\)\.", second)


def test_selection_is_on_validation_alone(tmp_path: Path) -> None:
    for seed in range(3):
        write_trial(tmp_path, NONE, seed, test=0.90, val=0.90 + 0.001 * seed)
        write_trial(tmp_path, RDROP, seed, test=0.95 + 0.001 * seed**2, val=0.91)
        write_trial(tmp_path, EARLY, seed, test=0.85 + 0.001 * seed**2, val=0.92)
    comparison = only(tmp_path)
    assert labels(comparison) == ["early_dropout", "rdrop", "none"]
    assert comparison.best is not None
    assert comparison.best.difference is not None
    assert comparison.best.difference.verdict is Verdict.WORSE
    assert "`early_dropout`" in conclusion(comparison)
    assert "worse" in conclusion(comparison)
    assert "test −4.83 points" in conclusion(comparison)


def test_lower_is_better_for_a_loss(example: Path) -> None:
    comparison = only(example, metric="val/loss")
    assert labels(comparison) == ["rdrop", "early_dropout", "none"]
    assert not comparison.metric.higher_is_better
    difference = comparison.rows[0].difference
    assert difference is not None
    assert difference.mean == pytest.approx(-0.009667, abs=1e-6)  # not in points
    assert difference.verdict is Verdict.BETTER
    assert "−0.0097, 95 % CI −0.0175 to −0.0018" in conclusion(comparison)
    assert comparison.rows[0].gap.mean == pytest.approx(0.085333 / 2, abs=1e-6)  # test loss − train loss


def test_metric_names(example: Path) -> None:
    assert labels(only(example, metric="accuracy")) == labels(only(example, metric="test/accuracy"))
    with pytest.raises(OptionError, match=r"--metric=acuracy was not measured by any trial; did you mean accuracy\?"):
        make_report([example], metric="acuracy")


def test_without_accuracy_the_first_measure_that_is_no_loss(tmp_path: Path) -> None:
    bleu = {"metrics": {"val/bleu": 34.6, "test/bleu": 34.1, "val/loss": 2.0, "test/loss": 2.1}}
    write_trial(tmp_path, NONE, 0, result=bleu)
    comparison = only(tmp_path)
    assert (comparison.metric.name, comparison.metric.unit, comparison.rows[0].test.mean) == ("bleu", " points", 34.1)


def test_each_setting_is_compared_by_the_metric_of_its_task(tmp_path: Path) -> None:
    write(tmp_path, NONE, [0.9, 0.91])
    write(tmp_path, RDROP, [0.92, 0.94])
    for regularizer, values in ((NONE, [31.0, 33.0]), (RDROP, [28.0, 29.5])):
        for seed, value in enumerate(values):
            measured = {f"{part}/{name}": x for part in ("val", "test") for name, x in
                        (("perplexity", value), ("loss", math.log(value)), ("accuracy", 0.3))}  # fmt: skip
            result = {
                "metric": {"name": "perplexity", "higher_is_better": False}, "metrics": measured,
                "tokens_per_second": 5000.0, "tokens_per_step": 512.5,
            }  # fmt: skip
            write_trial(tmp_path, regularizer, seed, result=result, dataset={"name": "wikitext2"})
    images, texts = make_report([tmp_path]).comparisons
    assert (images.metric.name, texts.metric.name) == ("accuracy", "perplexity")
    assert labels(texts) == ["rdrop", "none"]
    assert (texts.metric.higher_is_better, texts.metric.unit, texts.metric.digits) == (False, "", 2)
    difference = texts.rows[0].difference
    assert difference is not None
    assert difference.mean == pytest.approx(-3.25)
    assert (images.unit, texts.unit) == ("images", "tokens")
    (trial, *_) = texts.rows[0].group.trials
    assert (trial.speed, trial.training_seconds) == (pytest.approx(5000.0), pytest.approx(1000 * 512.5 / 5000))
    (same, other) = make_report([tmp_path], metric="loss").comparisons
    assert {same.metric.name, other.metric.name} == {"loss"}


@pytest.mark.parametrize(
    ("name", "percent", "unit", "scale"),
    [("matthews", False, " points", 100), ("rougeL", False, " points", 100), ("f1", True, " points", 100),
     ("bleu", False, " points", 1), ("perplexity", False, "", 1)],
)  # fmt: skip
def test_correlations_are_shown_in_points_without_a_sign_of_percent(
    tmp_path: Path, name: str, percent: bool, unit: str, scale: float
) -> None:
    measured = {"val/accuracy": 0.7, "test/accuracy": 0.7, f"val/{name}": 0.5, f"test/{name}": 0.5}
    own = {"name": name, "higher_is_better": name != "perplexity"}
    write_trial(tmp_path, NONE, 0, result={"metrics": measured, "metric": own})
    metric = only(tmp_path).metric
    assert (metric.name, metric.percent, metric.unit, metric.scale) == (name, percent, unit, scale)


def test_only_shared_seeds_are_paired_and_the_others_named(example: Path) -> None:
    write_trial(example, RDROP, 3, 0.99)
    write_trial(example, NONE, 4, status="failed")
    write_trial(example, EARLY, 5, status="started")
    (example / "demo" / "x").mkdir()
    write_trial(example, NONE, 5, 0.90)
    comparison = only(example)
    difference = comparison.rows[0].difference
    assert difference is not None
    assert difference.seeds == [(0, 0), (1, 0), (2, 0)]
    assert difference.mean == pytest.approx(0.9667, abs=1e-4)
    notes = "\n".join(comparison.notes)
    assert re.search(r"^`rdrop` .* seed 5; `none`", notes, re.MULTILINE)
    assert re.search(r"^`early_dropout` .* seed 5 \(running\); `none`", notes, re.MULTILINE)
    assert re.search(r"baseline `none` .* seed 3;", notes)
    assert "11 of 13" in conclusion(comparison)


def test_no_shared_seed(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0, 0.9)
    write_trial(tmp_path, RDROP, 1, 0.95)
    comparison = only(tmp_path)
    assert comparison.rows[0].difference is not None
    assert comparison.rows[0].difference.verdict is Verdict.NO_SHARED_SEED
    assert "no seed" in conclusion(comparison)


def test_one_seed_gives_no_interval(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0, 0.9)
    write_trial(tmp_path, RDROP, 0, 0.95)
    comparison = only(tmp_path)
    difference = comparison.rows[0].difference
    assert difference is not None
    assert (difference.verdict, difference.interval, difference.p) == (Verdict.ONE_SEED, None, None)
    assert "+5.00 points over `none`" in conclusion(comparison)
    assert "one seed" in conclusion(comparison)


def test_the_same_difference_in_every_seed_is_no_certainty(tmp_path: Path) -> None:
    write(tmp_path, NONE, [0.90, 0.91])
    write(tmp_path, RDROP, [0.92, 0.93])
    comparison = only(tmp_path)
    difference = comparison.rows[0].difference
    assert difference is not None
    assert (difference.verdict, difference.interval, difference.p_adjusted) == (Verdict.IDENTICAL, None, None)
    assert "+2.00 points over `none`" in conclusion(comparison)
    assert "2 paired seeds" in conclusion(comparison)


def test_one_lucky_seed_is_not_the_winner(example: Path) -> None:
    write_trial(example, RDROP | {"alpha": 9.0}, 0, 0.99)
    comparison = only(example)
    assert labels(comparison)[0] == "rdrop alpha=9"
    assert comparison.best is not None
    assert comparison.best.label == "rdrop alpha=0.5"
    assert any("`rdrop alpha=9`" in note and "too few seeds" in note for note in comparison.notes)


def test_best_is_not_distinguishable(tmp_path: Path) -> None:
    write(tmp_path, NONE, [0.90, 0.91, 0.90])
    write(tmp_path, RDROP, [0.92, 0.90, 0.91])
    assert re.match(
        r"No significant difference from `none`\..*`rdrop` \(test \+0\.67 points", conclusion(only(tmp_path))
    )


def test_many_comparisons_are_held_against_the_best(tmp_path: Path) -> None:
    """What one comparison would call better is not enough among many groups: intervals and p-values say the same."""
    write(tmp_path, NONE, [0.900, 0.910, 0.905])
    for i in range(12):
        gains = [0.003 + 0.0001 * i, 0.005 + 0.0001 * i, 0.006 + 0.0001 * i]
        values = [value + gain for value, gain in zip([0.900, 0.910, 0.905], gains, strict=True)]
        write(tmp_path, RDROP | {"alpha": 1.0 + i}, values)
    comparison = only(tmp_path)
    assert comparison.best is not None
    difference = comparison.best.difference
    assert difference is not None
    assert difference.p is not None
    assert difference.p < 0.045  # alone, it would be better
    for row in comparison.rows[:-1]:
        assert row.difference is not None
        assert row.difference.interval is not None
        assert row.difference.p_adjusted is not None
        assert row.difference.interval[0] < 0 < row.difference.interval[1]
        assert row.difference.p_adjusted > 0.05
        assert row.difference.verdict is Verdict.INCONCLUSIVE
    assert conclusion(comparison).count("more seed") == 3  # the best and two more; the others are counted
    assert "`rdrop alpha=11`" in conclusion(comparison)
    assert "9 more groups" in conclusion(comparison)


def test_values_that_are_not_finite_are_left_out_and_named(example: Path) -> None:
    diverged = {"metrics": {"val/accuracy": float("nan"), "test/accuracy": float("nan")}}
    write_trial(example, RDROP, 3, result=diverged)
    write_trial(example, NONE, 3, 0.9)
    comparison = only(example)
    assert "`rdrop` has no finite val/accuracy for seed 3." in comparison.notes
    assert len(comparison.rows[0].val.values) == 3


def test_nothing_finished_yet(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0, status="started")
    write_trial(tmp_path, RDROP, 0, status="failed")
    report = make_report([tmp_path])
    assert conclusions(report) == ["No trial has finished yet."]
    assert status_line(report) == "1 running (40 %), 1 failed"


def test_nothing_readable(tmp_path: Path) -> None:
    (write_trial(tmp_path, NONE, 0) / "result.json").write_text("{")
    report = make_report([tmp_path])
    assert (report.comparisons, conclusions(report)) == ([], ["No trial could be read: 1 damaged."])


def test_one_group_alone(tmp_path: Path) -> None:
    write(tmp_path, RDROP, [0.9, 0.91])
    assert conclusion(only(tmp_path)).startswith("`rdrop` reaches 90.50% accuracy on test (2 seeds).")


def test_without_a_test_measure_differences_are_on_validation_and_said_to_be(tmp_path: Path) -> None:
    for seed in range(2):
        for regularizer, value in ((NONE, 0.9), (RDROP, 0.95 + 0.01 * seed)):
            write_trial(tmp_path, regularizer, seed, result={"metrics": {"val/accuracy": value}})
    comparison = only(tmp_path)
    assert comparison.measure == "val"
    assert comparison.notes[-1].startswith("No test results")
    assert "val +5.50 points" in conclusion(comparison)


def test_copies_are_said(example: Path) -> None:
    report = make_report([example, example])
    assert isinstance(report, Report)
    assert [re.search(r"\b9\b", note) is not None for note in report.notes][:1] == [True]
