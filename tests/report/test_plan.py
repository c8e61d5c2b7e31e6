"""The plan of a sweep: interim verdicts, seeds beyond the plan, families of comparisons, and splits as replicates."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rdrop_exp.report.compare import make_report
from rdrop_exp.report.comparison import Comparison, Difference, Verdict
from rdrop_exp.report.conclusion import conclusion, sentences
from rdrop_exp.report.export import as_json
from rdrop_exp.report.table import cells
from rdrop_exp.statistics.paired import t_interval
from rdrop_exp.statistics.power import seeds_needed
from rdrop_exp.statistics.sequential import PLANNED, anytime_interval
from tests.report.trials import EARLY, NONE, RDROP, labels, only, write, write_trial

BASE = [0.900, 0.910, 0.905, 0.902, 0.907, 0.911]
GAINS = [0.012, 0.008, 0.009, 0.013, 0.010, 0.011]


def write_pair(root: Path, seeds: int, gains: list[float] = GAINS, **options: Any) -> None:
    write(root, NONE, BASE[:seeds], **options)
    write(root, RDROP, [a + b for a, b in zip(BASE, gains, strict=True)][:seeds], **options)


def describe(root: Path, **content: Any) -> None:
    """A sweep.yaml beside the trials; `planned` a number for each of their groups."""
    if "planned" in content:
        results = [json.loads(path.read_text()) for path in root.glob("demo/*/result.json")]
        content["planned"] = {result["group"]: content["planned"] for result in results}
    (root / "demo" / "sweep.yaml").write_text(yaml.safe_dump({"sweep": "demo"} | content))


def difference(comparison: Comparison, label: str = "rdrop") -> Difference:
    (row,) = (row for row in comparison.rows if row.label == label)
    assert row.difference is not None
    return row.difference


def test_before_the_planned_seeds_a_verdict_is_interim(tmp_path: Path) -> None:
    write_pair(tmp_path, 5)
    describe(tmp_path, planned=8)
    comparison = only(tmp_path)
    early = difference(comparison)
    assert (early.planned, early.interim, early.beyond) == (8, True, False)
    assert early.interval == anytime_interval(list(early.values.values()))
    assert (early.verdict, early.more_seeds) == (Verdict.BETTER, None)
    assert cells(comparison.rows[0], comparison)[7] == "better, interim (5/8)"
    assert conclusion(comparison).startswith("So far (5 of 8 planned seeds): `rdrop` is better")


def test_too_few_seeds_for_an_interim_interval(tmp_path: Path) -> None:
    write_pair(tmp_path, 2)
    describe(tmp_path, planned=8)
    comparison = only(tmp_path)
    assert (difference(comparison).interval, difference(comparison).verdict) == (None, Verdict.INCONCLUSIVE)
    assert "2 of 8 planned seeds" in conclusion(comparison)
    assert "power" not in conclusion(comparison)  # first the plan, then a projection


def test_at_the_plan_the_interval_is_the_t_interval(tmp_path: Path) -> None:
    write_pair(tmp_path, 5)
    describe(tmp_path, seeds=5)
    report = make_report([tmp_path])
    at_plan = difference(report.comparisons[0])
    assert (at_plan.planned, at_plan.interim) == (5, False)
    assert at_plan.interval == t_interval(list(at_plan.values.values()), PLANNED)
    assert report.notes == []
    describe(tmp_path)
    (note,) = make_report([tmp_path]).notes
    assert "planned" in note


def test_more_seeds_than_planned_cost_and_a_confirmation_is_named(tmp_path: Path) -> None:
    write_pair(tmp_path, 6)
    describe(tmp_path, planned=5)
    comparison = only(tmp_path)
    late = difference(comparison)
    assert (late.beyond, late.interim) == (True, False)
    assert late.interval == anytime_interval(list(late.values.values()))
    (note,) = (note for note in comparison.notes if "--confirm" in note)
    wide, usual = anytime_interval(list(late.values.values())), t_interval(list(late.values.values()), PLANNED)
    assert wide is not None
    assert usual is not None
    assert f"about {(wide[1] - wide[0]) / (usual[1] - usual[0]):.1f} times" in note
    assert "6 instead of 5" in note


def test_a_used_plan_asks_for_fresh_seeds_and_no_plan_for_more(tmp_path: Path) -> None:
    write_pair(tmp_path, 4, [0.012, -0.008, 0.009, 0.002, 0.0, 0.0])
    more = difference(only(tmp_path))
    assert more.mean is not None
    needed = seeds_needed(more.mean, more.sd)
    assert needed is not None
    assert more.more_seeds == needed - 4
    assert re.search(rf"about {needed - 4} more seeds for 80 % power", conclusion(only(tmp_path)))
    describe(tmp_path, planned=4)
    assert difference(only(tmp_path)).more_seeds == needed
    assert re.search(rf"about {needed} fresh seeds for 80 % power", conclusion(only(tmp_path)))
    (comparison,) = make_report([tmp_path], power=0.95).comparisons
    assert difference(comparison).more_seeds == seeds_needed(more.mean, more.sd, wanted=0.95)
    assert "95 % power" in conclusion(comparison)


def test_settings_of_one_sweep_are_corrected_together(tmp_path: Path) -> None:
    for name in ("digits", "cifar10"):
        write_pair(tmp_path, 5, dataset={"name": name})
    alone = [difference(c) for c in make_report([tmp_path]).comparisons]
    assert alone[0].interval == t_interval(list(alone[0].values.values()), PLANNED)
    describe(tmp_path, seeds=5)
    together = [difference(c) for c in make_report([tmp_path]).comparisons]
    for one, both in zip(alone, together, strict=True):
        # Independent: each of the two at 1 − √0.955.
        assert both.interval == pytest.approx(t_interval(list(one.values.values()), 1 - 0.955**0.5))


def test_differences_too_small_to_matter(tmp_path: Path) -> None:
    write_pair(tmp_path, 5, [0.0005, -0.0005, 0.0002, -0.0001, 0.0, 0.0])
    assert difference(only(tmp_path)).verdict is Verdict.INCONCLUSIVE
    describe(tmp_path, smallest=0.5)
    comparison = only(tmp_path)
    assert difference(comparison).verdict is Verdict.IRRELEVANT
    assert "No relevant difference" in conclusion(comparison)
    (narrow,) = make_report([tmp_path], smallest=0.01).comparisons
    assert difference(narrow).verdict is Verdict.INCONCLUSIVE


def test_intervals_p_values_and_verdicts_never_contradict_each_other(tmp_path: Path) -> None:
    """Many groups, of different numbers of seeds, some before and some past the plan."""
    rng = random.Random(1)
    write(tmp_path, NONE, [0.9 + rng.gauss(0, 0.001) for _ in range(9)])
    for i in range(24):
        level = 0.9 + 0.01 * (i % 5 - 2)
        values = [level + rng.gauss(0, 0.001) for _ in range(2 + i % 8)]
        write(tmp_path, RDROP | {"alpha": 1.0 + i}, values)
    for plan in ({}, {"planned": 6}):
        describe(tmp_path, **plan)
        found = set()
        for row in only(tmp_path).rows:
            if (d := row.difference) and d.interval is not None:
                assert d.p_adjusted is not None
                zero = d.interval[0] <= 0 <= d.interval[1]
                assert zero == (d.p_adjusted >= 0.05) == (d.verdict is Verdict.INCONCLUSIVE)
                found.add(d.verdict)
        assert len(found) == 3


def test_the_first_sentence_is_a_finding_where_there_is_one(tmp_path: Path) -> None:
    for seed in range(4):
        write_trial(tmp_path, NONE, seed, test=0.90, val=0.93)
        write_trial(tmp_path, RDROP, seed, test=0.88 + 0.001 * seed**2, val=0.92)
        write_trial(tmp_path, EARLY, seed, test=0.90 + 0.03 * (seed % 2), val=0.91)
    first, second = sentences(only(tmp_path))
    assert re.match(r".*`none`; `rdrop` is worse \(test −1\.65 points, 95 % CI −\d", first)
    assert "baseline `none` is best on validation" in second
    for seed in range(4):
        write_trial(tmp_path, RDROP | {"alpha": 2.0}, seed, test=0.94 + 0.001 * seed**2, val=0.90)
    first, second = sentences(only(tmp_path))
    assert first.startswith("`rdrop alpha=2` is better than `none` (test +4.35 points, 95 % CI ")
    assert "among 4 groups" in second


def test_splits_are_replicates(tmp_path: Path) -> None:
    for split in (0, 1):
        for seed in range(2):
            gain = 0.01 + 0.001 * seed + 0.002 * split
            write_trial(tmp_path, NONE, seed, 0.9 + 0.01 * split, dataset={"split_seed": split})
            write_trial(tmp_path, RDROP, seed, 0.9 + 0.01 * split + gain, dataset={"split_seed": split})
    write_trial(tmp_path, RDROP, 2, 0.93, dataset={"split_seed": 1})
    comparison = only(tmp_path)
    assert labels(comparison) == ["rdrop", "none"]
    paired = difference(comparison)
    assert paired.values == pytest.approx({(0, 0): 1.0, (0, 1): 1.2, (1, 0): 1.1, (1, 1): 1.3})
    assert "4 pairs of seed and split" in conclusion(comparison)
    assert any("seed 2 on split 1" in note for note in comparison.notes)
    groups = json.loads(as_json(make_report([tmp_path])))["comparisons"][0]["groups"]
    assert groups[1]["test"].keys() == {"0 on split 0", "1 on split 0", "0 on split 1", "1 on split 1"}
    describe(tmp_path, planned=2)
    assert difference(only(tmp_path)).planned == 4


def test_groups_on_one_split_only_are_not_merged_with_their_like(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0, result={"group": "aaaa000000"})
    write_trial(tmp_path, NONE, 1, result={"group": "bbbb000000"})
    write_trial(tmp_path, NONE, 0, dataset={"split_seed": 1}, result={"group": "cccc000000"})
    assert len(only(tmp_path).rows) == 3
