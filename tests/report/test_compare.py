"""Groups, rankings and differences: a hand-computed example, and everything that can be missing."""

import json
import re
from pathlib import Path

import pytest

from rdrop_exp.config.schema import OptionError
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.comparison import Comparison, Report, Verdict
from rdrop_exp.report.conclusion import conclusion, conclusions, sentences, status_line
from rdrop_exp.report.trial import usual_speed
from tests.report.trials import EARLY, NONE, RDROP, write_trial

# Test accuracies by seed. By hand, in points: rdrop − none = 1.2, 0.8, 0.9; early − none = 0.1, −0.1, 0.2.
NONE_TEST = [0.900, 0.910, 0.905]
RDROP_TEST = [0.912, 0.918, 0.914]
EARLY_TEST = [0.901, 0.909, 0.907]


def write(root: Path, regularizer: dict, values: list[float], **more) -> None:
    for seed, value in enumerate(values):
        write_trial(root, regularizer, seed, value, **more)


def only(root: Path, **more: str) -> Comparison:
    (comparison,) = make_report([root], **more).comparisons
    return comparison


def labels(comparison: Comparison) -> list[str]:
    return [row.label for row in comparison.rows]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    for regularizer, values in ((NONE, NONE_TEST), (RDROP, RDROP_TEST), (EARLY, EARLY_TEST)):
        write(tmp_path, regularizer, values)
    return tmp_path


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
    assert (one.mean, one.sd) == (pytest.approx(0.9667, abs=1e-4), pytest.approx(0.2082, abs=1e-4))
    assert one.interval == pytest.approx((0.4495, 1.4838), abs=1e-4)  # 0.9667 ∓ 4.3027 · 0.2082 / √3
    assert one.p == pytest.approx(0.01510, abs=1e-5)  # two degrees: 1 − t / √(2 + t²), t = 8.043
    assert (two.p, two.p_holm) == (pytest.approx(0.52860, abs=1e-5), pytest.approx(0.52860, abs=1e-5))
    assert one.p_holm == pytest.approx(2 * 0.01510, abs=2e-5)
    assert (one.verdict, two.verdict) == (Verdict.BETTER, Verdict.INCONCLUSIVE)
    assert two.more_seeds == 20  # t₂₂ · 0.15275 / √23 = 0.0661 < 0.0667 ≤ t₂₁ · 0.15275 / √22
    assert one.p_sign_flip == 0.25
    assert one.interval_sign_flip is None


def test_the_conclusion_of_the_example(example: Path) -> None:
    first, second = sentences(only(example))
    assert re.fullmatch(
        r"`rdrop` .*better.* `none` \(test \+0\.97 points, .* 0\.45 to 1\.48, 3 paired seeds\)\.", first
    )
    assert re.fullmatch(r".*nconclusive: `early_dropout` \(.*\b20 more seeds.*\)\.", second)


def test_costs_and_gaps_of_the_example(example: Path) -> None:
    write(example, RDROP | {"alpha": 1.0}, [0.91, 0.92, 0.91], seconds=90.0)
    comparison = only(example)
    row = next(row for row in comparison.rows if row.label == "rdrop alpha=1")
    assert row.relative_cost == pytest.approx(1.5)
    assert row.speed.mean == pytest.approx(128000 / 90)
    assert row.train_loss.mean == pytest.approx((1 - 2.74 / 3) / 2)
    # Train accuracy is (1 + val) / 2 in these trials: the gap to a test accuracy equal to val is (1 − val) / 2.
    assert row.gap.mean == pytest.approx(100 * (1 - 2.74 / 3) / 2)


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
    assert "−0.0097, 95 % CI −0.0148 to −0.0045" in conclusion(comparison)
    assert comparison.rows[0].gap.mean == pytest.approx(0.085333 / 2, abs=1e-6)  # test loss − train loss


def test_metric_names(example: Path) -> None:
    assert labels(only(example, metric="accuracy")) == labels(only(example, metric="test/accuracy"))
    with pytest.raises(OptionError, match=r"--metric=acuracy was not measured by any trial; did you mean accuracy\?"):
        make_report([example], metric="acuracy")


def test_without_accuracy_the_first_measure_that_is_no_loss(tmp_path: Path) -> None:
    bleu = {"metrics": {"val/bleu": 34.6, "test/bleu": 34.1, "val/loss": 2.0, "test/loss": 2.1}}
    write_trial(tmp_path, NONE, 0, result=bleu)
    comparison = only(tmp_path)
    assert (comparison.metric.name, comparison.metric.unit, comparison.rows[0].test.mean) == ("bleu", "", 34.1)


def test_only_shared_seeds_are_paired_and_the_others_named(example: Path) -> None:
    write_trial(example, RDROP, 3, 0.99)
    write_trial(example, NONE, 4, status="failed")
    write_trial(example, EARLY, 5, status="started")
    (example / "demo" / "x").mkdir()
    write_trial(example, NONE, 5, 0.90)
    comparison = only(example)
    difference = comparison.rows[0].difference
    assert difference is not None
    assert difference.seeds == [0, 1, 2]
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
    assert (difference.verdict, difference.interval, difference.p_holm) == (Verdict.IDENTICAL, None, None)
    assert "+2.00 points over `none`" in conclusion(comparison)
    assert "2 paired seeds" in conclusion(comparison)


def test_one_lucky_seed_is_not_the_winner(example: Path) -> None:
    write_trial(example, RDROP | {"alpha": 9.0}, 0, 0.99)
    comparison = only(example)
    assert labels(comparison)[0] == "rdrop alpha=9"
    assert comparison.best is not None
    assert comparison.best.label == "rdrop alpha=0.5"
    assert any("`rdrop alpha=9`" in note and "too few seeds" in note for note in comparison.notes)


def test_best_is_the_baseline(tmp_path: Path) -> None:
    write(tmp_path, NONE, [0.95, 0.96])
    write(tmp_path, RDROP, [0.90, 0.93])
    first, second = sentences(only(tmp_path))
    assert re.fullmatch(r".*baseline `none` is best.*95\.50% accuracy on test, 2 seeds\)\.", first)
    assert re.fullmatch(r".*`rdrop` \(.*\b1 more seed .*\)\.", second)


def test_best_is_not_distinguishable(tmp_path: Path) -> None:
    write(tmp_path, NONE, [0.90, 0.91, 0.90])
    write(tmp_path, RDROP, [0.92, 0.90, 0.91])
    assert re.match(
        r"No significant difference from `none`\..*`rdrop` \(test \+0\.67 points", conclusion(only(tmp_path))
    )


def test_many_comparisons_are_held_against_the_best(tmp_path: Path) -> None:
    """An interval without zero is not enough among many groups, and the conclusion says so."""
    write(tmp_path, NONE, [0.900, 0.910, 0.905])
    for i in range(12):
        gains = [0.003 + 0.0001 * i, 0.005 + 0.0001 * i, 0.006 + 0.0001 * i]
        values = [value + gain for value, gain in zip([0.900, 0.910, 0.905], gains, strict=True)]
        write(tmp_path, RDROP | {"alpha": 1.0 + i}, values)
    comparison = only(tmp_path)
    assert comparison.best is not None
    difference = comparison.best.difference
    assert difference is not None
    assert difference.interval is not None
    assert difference.interval[0] > 0
    assert difference.p_holm is not None
    assert difference.p is not None
    assert difference.p < 0.05 < difference.p_holm
    assert difference.verdict is Verdict.INCONCLUSIVE
    assert f"p = {difference.p_holm:.2f}" in conclusion(comparison)
    assert "12 comparisons" in conclusion(comparison)
    assert conclusion(comparison).count("more seed") == 3  # the best and two more; the others are counted
    assert "`rdrop alpha=11`" in conclusion(comparison)
    assert "9 more groups" in conclusion(comparison)


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


def test_labels_name_exactly_what_varies(tmp_path: Path) -> None:
    for alpha in (0.1, 0.5):
        write_trial(tmp_path, RDROP | {"alpha": alpha}, 0)
    for cutoff in (2, 5):
        for rate in (0.1, 0.2):
            write_trial(tmp_path, EARLY | {"cutoff_epoch": cutoff, "dropout": rate}, 0)
    write_trial(tmp_path, NONE, 0)
    assert sorted(labels(only(tmp_path))) == [
        *(f"early_dropout dropout={rate} cutoff_epoch={cutoff}" for rate in (0.1, 0.2) for cutoff in (2, 5)),
        "none",
        "rdrop alpha=0.1",
        "rdrop alpha=0.5",
    ]


def test_labels_of_options_with_the_same_last_name(tmp_path: Path) -> None:
    for optimizer in ("adamw", "sgd"):
        for peer in ("resnet18", "resnet34"):
            write_trial(tmp_path, RDROP, 0, optimizer={"name": optimizer}, peer={"name": peer})
    assert "rdrop peer.name=resnet18 optimizer.name=adamw" in labels(only(tmp_path))


def test_groups_that_only_their_identity_tells_apart(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0, result={"group": "aaaa000000"})
    write_trial(tmp_path, NONE, 1, result={"group": "bbbb000000"})
    assert labels(only(tmp_path)) == ["none (aaaa)", "none (bbbb)"]


def test_the_best_tuned_baseline_is_taken(tmp_path: Path) -> None:
    for lr, value in ((1e-3, 0.90), (3e-3, 0.92)):
        write(tmp_path, NONE, [value, value + 0.01], optimizer={"lr": lr})
        write(tmp_path, RDROP, [value + 0.02, value + 0.01], optimizer={"lr": lr})
    comparison = only(tmp_path)
    assert comparison.baseline.label == "none lr=0.003"
    assert labels(comparison)[-1] == "none lr=0.001"


def test_data_sets_and_models_are_not_compared_with_each_other(tmp_path: Path) -> None:
    for name in ("digits", "cifar10"):
        for fraction in (0.5, 1.0):
            for regularizer in (NONE, RDROP):
                write_trial(tmp_path, regularizer, 0, 0.9, dataset={"name": name, "fraction": fraction})
    report = make_report([tmp_path])
    assert [c.setting.label for c in report.comparisons] == [
        "cifar10 · vit_micro · fraction=0.5",
        "cifar10 · vit_micro · fraction=1",
        "digits · vit_micro · fraction=0.5",
        "digits · vit_micro · fraction=1",
    ]
    assert all(sorted(labels(c)) == ["none", "rdrop"] for c in report.comparisons)
    assert conclusions(report)[0].startswith("cifar10 · vit_micro · fraction=0.5: ")


def test_augmentation_is_compared_within_a_setting(tmp_path: Path) -> None:
    for mixup in (0.0, 0.8):
        write_trial(tmp_path, NONE, 0, 0.9 + mixup / 100, dataset={"mixup": mixup})
    assert labels(only(tmp_path)) == ["none mixup=0.8", "none mixup=0"]


def test_a_different_device_is_said(example: Path) -> None:
    write_trial(example, NONE, 7, result={"device": "NVIDIA H200"})
    assert any("(NVIDIA H200, cpu)" in note for note in only(example).notes)


def test_copies_are_said(example: Path) -> None:
    report = make_report([example, example])
    assert isinstance(report, Report)
    assert [re.search(r"\b9\b", note) is not None for note in report.notes] == [True]


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
    first, _ = sentences(comparison)
    assert [row.label for row in comparison.tied] == ["early_dropout", "rdrop"]
    assert re.search(r"[Tt]ied .*`early_dropout` \(test 0\.00 points, .*\) and `rdrop` \(test \+1\.07 points", first)


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
    sweep.write_text("sweep: [1\n")
    report = make_report([example])
    assert (report.title, report.comparisons[0].warnings) == ("demo", [])


def test_costs_are_without_warm_up(tmp_path: Path) -> None:
    """The first group of a sweep warms up, and one of its rows has a hiccup: equal work costs the same."""
    for regularizer, slow in ((NONE, 1), (EARLY, 10)):
        folder = write_trial(tmp_path, regularizer, 0, result={"steps": 100, "seconds": 60.0 * slow, "device": "cpu"})
        speeds = [1000 / slow, 1000, 1000 / slow, *[1000] * 6]
        rows = [{"step": 10 * i, "epoch": i, "images_per_second": speed} for i, speed in enumerate(speeds, 1)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    comparison = only(tmp_path)
    assert [row.relative_cost for row in comparison.rows] == [pytest.approx(1.0)] * 2
    assert [row.training_seconds.mean for row in comparison.rows] == [pytest.approx(100 * 128 / 1000)] * 2
    assert sorted(row.seconds.mean or 0 for row in comparison.rows) == [60.0, 600.0]


@pytest.mark.parametrize("count", [9, 300])
def test_a_schedule_that_changes_the_speed_counts_in_full(tmp_path: Path, count: int) -> None:
    folder = write_trial(tmp_path, RDROP, 0)
    rows = [{"images_per_second": 500.0 if i <= 1 + (count - 1) * 2 // 3 else 1000.0} for i in range(1, count + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # Two thirds of the images at 500 and one third at 1,000 a second: 600 on the whole.
    assert usual_speed(str(folder)) == pytest.approx(600, rel=0.1)
