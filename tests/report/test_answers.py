"""What sweeps expected, answered from trials whose differences are known."""

import copy
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rdrop_exp.report.compare import make_report
from rdrop_exp.report.expected import Answer, AnswerRow
from rdrop_exp.statistics.paired import t_interval
from rdrop_exp.statistics.power import seeds_needed
from rdrop_exp.statistics.sequential import PLANNED, anytime_interval
from tests.report.trials import EARLY, NONE, RDROP, write_trial

DROPOUT = {"name": "dropout", "dropout": 0.1}
LEVEL = 0.9


def noise(group: int, seed: int) -> float:
    """Of one trial, in points; its mean over eight seeds is zero."""
    drawn = [random.Random(f"{group} {i}").gauss(0, 0.35) for i in range(8)]
    return drawn[seed] - sum(drawn) / 8


def groups(
    root: Path, gains: dict[str, float], seeds: int = 8, spread: float = 1.0, first: int = 0, **more: Any
) -> None:
    """Trials of groups by regularizer or α of R-Drop, with their gains over 90 % in points."""
    kinds = {"none": NONE, "dropout": DROPOUT, "early": EARLY, "rdrop": RDROP}
    for number, (name, gain) in enumerate(gains.items(), first):
        regularizer = kinds.get(name) or RDROP | {"alpha": float(name)}
        for seed in range(seeds):
            points = gain + spread * noise(number, seed) + 0.3 * seed
            write_trial(root, regularizer, seed, LEVEL + points / 100, **more)


def sweep(root: Path, *expects: Any, seeds: int | None = 8, **more: Any) -> None:
    content = {
        "sweep": "demo",
        "title": "Demo",
        "expects": [copy.deepcopy(line) for line in expects],
        "smallest": 0.5,
        "seeds": seeds,
    } | more
    (root / "demo").mkdir(exist_ok=True)
    (root / "demo/sweep.yaml").write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))


def answer(root: Path, *expects: Any, **more: Any) -> AnswerRow:
    sweep(root, *expects, **more)
    (row,) = make_report([root]).answers
    return row


def difference(gain: float) -> list[float]:
    """Between the second group and the first, by seed."""
    return [gain + noise(1, seed) - noise(0, seed) for seed in range(8)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"better": "rdrop", "than": "none"}, Answer.AGREES),
        ({"worse": "none", "than": "rdrop"}, Answer.AGREES),
        ({"better": "none", "than": "rdrop"}, Answer.DISAGREES),
        ({"better": "early_dropout", "than": "none"}, Answer.OPEN),
        ({"better": "dropout", "than": "none", "smallest": 2}, Answer.IRRELEVANT),
        ({"better": "rdrop", "than": ["none", "early_dropout", "dropout"]}, Answer.AGREES),
        ({"better": "early_dropout", "than": ["none", "rdrop"]}, Answer.DISAGREES),
        ({"better": "early_dropout", "than": ["none", "dropout"]}, Answer.OPEN),
        ({"better": "rdrop", "than": "none", "on": "test/loss"}, Answer.AGREES),
        ({"lower": "rdrop", "than": "none", "on": "test/loss"}, Answer.AGREES),
        ({"higher": "rdrop", "than": "none", "on": "test/loss"}, Answer.DISAGREES),
        ({"higher": "rdrop", "than": "none", "on": "train/accuracy"}, Answer.AGREES),
        ({"equal": "dropout", "to": "none", "smallest": 1}, Answer.AGREES),
        ({"equal": "rdrop", "to": "none"}, Answer.DISAGREES),
        ({"equal": "early_dropout", "to": "none"}, Answer.OPEN),
        ({"shape": "flat", "over": "regularizer.name", "of": ["none", "dropout"], "smallest": 1}, Answer.AGREES),
        ({"shape": "flat", "over": "regularizer.name", "of": ["none", "dropout", "rdrop"]}, Answer.DISAGREES),
    ],
)
def test_comparisons(tmp_path: Path, line: dict[str, Any], expected: Answer) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 2.0, "early": 0.3, "dropout": 0.0})
    row = answer(tmp_path, line)
    assert row.answer == expected
    assert row.seeds == row.planned == 8
    assert not row.interim
    assert row.interval is not None
    assert row.estimate is not None
    assert row.interval[0] < row.estimate < row.interval[1]
    assert row.note == ""


def test_estimate_interval_and_texts(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 2.0})
    row = answer(tmp_path, {"claim": "It\nhelps", "better": "rdrop", "than": "none", "source": "arXiv 2106.14448"})
    assert (row.claim, row.source, row.unit, row.setting) == (
        "It helps",
        "arXiv 2106.14448",
        "points",
        "digits · vit_micro",
    )
    assert row.estimate == pytest.approx(2.0)
    assert row.interval == pytest.approx(t_interval(difference(2.0), PLANNED))


def test_lines_share_the_level(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 2.0})
    line = {"better": "rdrop", "than": "none"}
    sweep(tmp_path, line, line, {"nonsense": 1}, line)
    rows = make_report([tmp_path]).answers
    assert [row.answer for row in rows] == [Answer.AGREES, Answer.AGREES, Answer.OPEN, Answer.AGREES]
    assert rows[0].interval == pytest.approx(t_interval(difference(2.0), PLANNED / 4))


def test_a_refutation_among_several_claims_is_corrected_for_them(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 2.0, "dropout": 4.0})
    row = answer(tmp_path, {"worse": "rdrop", "than": ["none", "dropout"]})
    assert row.answer == Answer.DISAGREES
    assert row.interval == pytest.approx(t_interval(difference(2.0), PLANNED / 2))


def test_before_the_plan_answers_are_interim(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 4.0}, seeds=6, spread=0.5)
    row = answer(tmp_path, {"better": "rdrop", "than": "none"})
    values = [4.0 + 0.5 * d for d in difference(0.0)[:6]]
    assert (row.answer, row.interim, row.seeds, row.planned) == (Answer.AGREES, True, 6, 8)
    assert row.interval == pytest.approx(anytime_interval(values))
    assert row.more_seeds is None
    no_plan = answer(tmp_path, {"better": "rdrop", "than": "none"}, seeds=None)
    assert (no_plan.interim, no_plan.planned) == (False, None)
    assert no_plan.interval == pytest.approx(t_interval(values, PLANNED))


def test_beyond_the_plan_intervals_are_wide(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 4.0})
    row = answer(tmp_path, {"better": "rdrop", "than": "none"}, seeds=5)
    assert (row.interim, row.seeds, row.planned) == (False, 8, 5)
    assert row.interval == pytest.approx(anytime_interval(difference(4.0)))


def test_groups_that_have_not_begun_keep_an_answer_interim(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 2.0})
    (group,) = {json.loads(p.read_text())["group"] for p in tmp_path.glob("demo/*-none-*/result.json")}
    row = answer(tmp_path, {"better": "rdrop", "than": "none"}, planned={group: 8, "0123456789": 8})
    assert row.interim
    assert row.interval == pytest.approx(anytime_interval(difference(2.0)))


def test_more_seeds_are_projected_where_an_answer_is_open(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 0.2})
    values = difference(0.2)
    sd = (sum((v - 0.2) ** 2 for v in values) / 7) ** 0.5
    row = answer(tmp_path, {"better": "rdrop", "than": "none", "smallest": 0.1})
    assert row.answer == Answer.OPEN
    assert row.more_seeds == seeds_needed(0.2, sd, PLANNED)  # fresh ones
    assert f"({row.more_seeds} fresh seeds for 80 % power)" in row.cells[1]
    (surer,) = make_report([tmp_path], power=0.95).answers
    assert surer.more_seeds == seeds_needed(0.2, sd, PLANNED, 0.95)
    assert "95 % power" in surer.cells[1]
    no_plan = answer(tmp_path, {"better": "rdrop", "than": "none", "smallest": 0.1}, seeds=None)
    assert "more seeds" in no_plan.cells[1]
    assert no_plan.more_seeds == (row.more_seeds or 0) - 8
    equal = answer(tmp_path, {"equal": "rdrop", "to": "none", "smallest": 0.3})
    assert equal.more_seeds is not None
    assert equal.more_seeds > 8


ALPHAS = {"0.1": 0.0, "0.5": 3.0, "1": 2.5, "5": 0.5}


@pytest.mark.parametrize(
    ("gains", "line", "expected"),
    [
        (ALPHAS, {"shape": "hump"}, Answer.AGREES),
        ({"0.1": 3.0, "0.5": 1.0, "5": 0.0}, {"shape": "hump"}, Answer.DISAGREES),
        ({"0.1": 0.0, "0.5": 0.2, "5": -3.0}, {"shape": "hump"}, Answer.OPEN),
        ({"0.1": 0.0, "0.5": 1.0, "5": 2.0}, {"shape": "rises"}, Answer.AGREES),
        ({"0.1": 0.0, "0.5": 1.0, "5": 2.0}, {"shape": "falls"}, Answer.DISAGREES),
        ({"0.1": 0.0, "0.5": 1.0, "5": 2.0}, {"shape": "falls", "on": "test/loss"}, Answer.AGREES),
        ({"0.1": 0.0, "0.5": 3.0, "1": 2.5, "5": 0.4}, {"shape": "rises", "smallest": 0.1}, Answer.OPEN),
        ({"0.1": 0.0, "0.5": 0.0, "5": 0.0}, {"shape": "flat", "smallest": 1}, Answer.AGREES),
        ({"0.1": 0.0, "0.5": 0.0, "5": 3.0}, {"shape": "flat", "smallest": 1}, Answer.DISAGREES),
        ({"0.1": 0.0, "0.5": 0.0, "5": 0.8}, {"shape": "flat"}, Answer.OPEN),
    ],
)
def test_shapes_over_an_option(tmp_path: Path, gains: dict[str, float], line: dict[str, Any], expected: Answer) -> None:
    groups(tmp_path, {"none": 9.0} | gains)
    row = answer(tmp_path, line | {"over": "alpha"})
    assert (row.answer, row.seeds) == (expected, 8)


def test_a_trend_is_the_change_over_the_levels(tmp_path: Path) -> None:
    groups(tmp_path, {"0.1": 0.0, "0.5": 1.0, "5": 2.0}, spread=0.1)
    row = answer(tmp_path, {"shape": "rises", "over": "alpha"})
    assert row.estimate == pytest.approx(2.0)


def test_the_best_level_over_another_option(tmp_path: Path) -> None:
    for number, (fraction, best) in enumerate({0.1: 0.3, 0.5: 0.2, 1.0: 0.1}.items()):
        for rate in (0.1, 0.2, 0.3):
            for seed in range(8):
                # The best rate of one seed in four is a neighbour.
                target = 0.2 if (seed + number) % 4 == 0 else best
                accuracy = 0.9 - abs(rate - target) + 0.001 * seed
                write_trial(tmp_path, DROPOUT | {"dropout": rate}, seed, accuracy, dataset={"fraction": fraction})
    falls = answer(tmp_path, {"shape": "falls", "best": "dropout", "over": "dataset.fraction"})
    assert (falls.answer, falls.seeds, falls.unit) == (Answer.AGREES, 8, "")
    assert falls.estimate == pytest.approx(-0.15)
    rises = answer(tmp_path, {"shape": "rises", "best": "dropout", "over": "fraction"})
    assert rises.answer == Answer.DISAGREES


def test_the_course_of_training(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 2.0}, rows=30)
    of = {"over": "training", "of": "rdrop"}
    assert answer(tmp_path, of | {"shape": "falls", "on": "train/loss"}).answer == Answer.AGREES
    assert answer(tmp_path, of | {"shape": "rises", "on": "val/loss"}).answer == Answer.DISAGREES
    late = answer(tmp_path, of | {"shape": "rises", "on": "val/accuracy", "at": [0.5, 1]})
    assert late.answer == Answer.AGREES
    assert late.unit == "points"
    whole = answer(tmp_path, of | {"shape": "rises", "on": "val/accuracy"})
    assert whole.estimate is not None
    assert late.estimate is not None
    assert whole.estimate > 2 * late.estimate


def test_windows_of_rows_and_epochs(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 2.0})
    early = answer(tmp_path, {"lower": "rdrop", "than": "none", "on": "val/loss", "at": [0, 0.2]})
    late = answer(tmp_path, {"lower": "rdrop", "than": "none", "on": "val/loss", "at": [0.8, 1]})
    assert (early.answer, late.answer) == (Answer.AGREES, Answer.AGREES)
    assert early.estimate is not None
    assert late.estimate is not None
    assert late.estimate < 1.5 * early.estimate < 0
    for seed, path in enumerate(sorted(tmp_path.glob("demo/*-rdrop-*/metrics.jsonl"))):
        rows = path.read_text().splitlines()
        path.write_text("\n".join(rows[: 4 + seed % 2]))
    epochs = answer(tmp_path, {"lower": "rdrop", "than": "none", "on": "overfit_epoch"})
    assert (epochs.answer, epochs.unit, epochs.estimate) == (Answer.AGREES, "epochs", pytest.approx(-5.5))
    assert answer(tmp_path, {"lower": "rdrop", "than": "none", "on": "best_epoch"}).answer == Answer.OPEN


def test_damaged_and_missing_rows_cost_their_trial(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 2.0})
    first, second, *_ = sorted(tmp_path.glob("demo/*-rdrop-*/metrics.jsonl"))
    first.unlink()
    second.write_text(
        '{"progress": 0.1, "val/lo\n[1]\n{"progress": "x", "val/loss": 1}\n{"progress": 0.1, "val/loss": NaN}\n'
    )
    row = answer(tmp_path, {"lower": "rdrop", "than": "none", "on": "val/loss", "at": [0, 0.5]})
    assert (row.seeds, row.planned, row.interim) == (6, 8, True)


def test_of_several_groups_the_best_on_validation_is_meant(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0})
    for alpha, val, test in ((0.5, 0.99, 0.92), (1.0, 0.95, 0.97)):
        for seed in range(8):
            values = (test + (noise(int(alpha), seed) + 0.3 * seed) / 100, val + seed / 1000)
            write_trial(tmp_path, RDROP | {"alpha": alpha}, seed, *values)
    row = answer(tmp_path, {"better": "rdrop", "than": "none"})
    assert row.estimate == pytest.approx(2.0, abs=0.2)
    assert answer(tmp_path, {"better": "rdrop alpha=1", "than": "none"}).estimate == pytest.approx(7.0, abs=0.2)
    assert answer(tmp_path, {"better": "rdrop", "than": "rdrop alpha=1"}).estimate == pytest.approx(-5.0, abs=0.2)


def test_settings_are_answered_one_by_one(tmp_path: Path) -> None:
    for fraction, gain in ((0.1, 2.0), (1.0, -2.0)):
        groups(tmp_path, {"none": fraction, "rdrop": fraction + gain}, dataset={"fraction": fraction})
    sweep(tmp_path, {"claim": "it helps", "better": "rdrop", "than": "none"})
    rows = make_report([tmp_path]).answers
    assert {row.setting.rpartition("=")[2]: row.answer for row in rows} == {"0.1": Answer.AGREES, "1": Answer.DISAGREES}
    assert all(row.claim.startswith("it helps (digits · vit_micro · fraction=") for row in rows)
    across = answer(tmp_path, {"better": "none fraction=1", "than": "none fraction=0.1"})
    assert across.estimate == pytest.approx(0.9)
    assert across.setting.count("fraction") == 2


def test_another_sweeps_groups_do_not_count(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 2.0})
    groups(tmp_path, {"1": 9.0}, experiment="other")
    row = answer(tmp_path, {"better": "rdrop", "than": "none"})
    assert row.estimate == pytest.approx(2.0)


def test_trials_in_another_sweeps_folder_count_where_they_were_planned(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0}, experiment="other")
    groups(tmp_path, {"rdrop": 2.0}, first=1)
    plans = {json.loads(p.read_text())["group"]: 8 for p in tmp_path.glob("*/*/result.json")}
    row = answer(tmp_path, {"better": "rdrop", "than": "none"}, seeds=None, planned=plans)
    assert (row.answer, row.seeds, row.planned, row.interim) == (Answer.AGREES, 8, 8, False)


def test_a_sweep_in_two_folders_is_asked_once(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 2.0})
    line = {"better": "rdrop", "than": "none"}
    sweep(tmp_path, line)
    groups(tmp_path, {"early": 1.0}, experiment="more")
    (tmp_path / "more/sweep.yaml").write_text((tmp_path / "demo/sweep.yaml").read_text())
    assert len(make_report([tmp_path]).answers) == 1


def test_the_smallest_difference_of_the_command_line_replaces_the_sweeps(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 0.0})
    sweep(tmp_path, {"equal": "rdrop", "to": "none"})
    assert [row.answer for row in make_report([tmp_path], smallest=3).answers] == [Answer.AGREES]
    assert [row.answer for row in make_report([tmp_path], smallest=0.01).answers] == [Answer.OPEN]


@pytest.mark.parametrize(
    ("write", "note"),
    [
        (lambda root: groups(root, {"none": 0.0}), "rdrop"),
        (lambda root: groups(root, {"none": 0.0, "rdrop": 1.0}, seeds=1), ""),
        (lambda root: groups(root, {"none": 0.0, "rdrop": 1.0}, status="started"), "share a seed"),
        (lambda root: [write_trial(root, NONE, 0), write_trial(root, RDROP, 40)], "share a seed"),
    ],
)
def test_what_is_not_there_yet(tmp_path: Path, write: Callable[[Path], Any], note: str) -> None:
    write(tmp_path)
    row = answer(tmp_path, {"better": "rdrop", "than": "none"})
    assert (row.answer, row.interval, row.more_seeds) == (Answer.OPEN, None, None)
    assert note in row.note


@pytest.mark.parametrize(
    "line",
    [
        7, None, "text", [], {}, {"better": 3}, {"better": "rdrop", "than": {"a": [1]}}, {"claim": ["x"]}, {1: 2},
        {"better": "none", "than": "rdrop", "on": "\x1b[31m"}, {"shape": "hump", "over": ["a"]}, {"claim": {"a": 1}},
        {"better": "none", "than": "rdrop", "at": [None, 1]}, {"equal": "none", "to": "rdrop", "smallest": "1"},
        {"shape": "falls", "best": "sites", "over": "alpha"}, {"shape": "hump", "over": "sites"},
    ],
)  # fmt: skip
def test_lines_of_another_hand_are_rows_with_a_note(tmp_path: Path, line: Any) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 2.0}, seeds=2)
    row = answer(tmp_path, line)
    assert row.answer == Answer.OPEN
    assert row.note
    assert "".join(row.cells).isprintable()


def test_the_same_difference_in_every_seed_cannot_be_tested(tmp_path: Path) -> None:
    groups(tmp_path, {"none": 0.0, "rdrop": 1.0}, spread=0.0)
    row = answer(tmp_path, {"better": "rdrop", "than": "none"})
    assert (row.answer, row.interval, row.more_seeds) == (Answer.OPEN, None, None)
    assert "every seed" in row.note


@pytest.mark.parametrize("expects", ["text", 7, {"better": "rdrop"}, None, []])
def test_expects_of_another_hand(tmp_path: Path, expects: Any) -> None:
    groups(tmp_path, {"none": 0.0}, seeds=1)
    sweep(tmp_path, expects=expects)
    assert make_report([tmp_path]).answers == []


def test_false_answers_stay_within_the_level() -> None:
    """Under no difference, agreement or refutation at the plan is as rare as the level says."""
    import numpy as np

    from rdrop_exp.questions.contrasts import Contrast
    from rdrop_exp.questions.evidence import Evidence

    random, wrong = np.random.default_rng(0), 0
    for _ in range(2000):
        values = {(seed, 0): float(v) for seed, v in enumerate(random.normal(size=8))}
        evidence = Evidence(Contrast(values, 1), None, 8, 1.0, 1.0)
        wrong += evidence.agrees or evidence.refutes
    assert wrong / 2000 == pytest.approx(PLANNED, abs=0.015)


def test_a_large_sweep_is_answered_quickly(tmp_path: Path) -> None:
    groups(tmp_path, {str(alpha): 0.1 * alpha for alpha in range(1, 51)})
    sweep(tmp_path, *[{"shape": "rises", "over": "alpha", "on": "val/loss", "at": [0, 0.5]}] * 3)
    make_report([tmp_path])  # imports
    sweep_file, began = (tmp_path / "demo/sweep.yaml").read_text(), time.perf_counter()
    (tmp_path / "demo/sweep.yaml").unlink()
    make_report([tmp_path])
    without = time.perf_counter() - began
    (tmp_path / "demo/sweep.yaml").write_text(sweep_file)
    began = time.perf_counter()
    assert len(make_report([tmp_path]).answers) == 3
    assert time.perf_counter() - began < 5 * without + 1
