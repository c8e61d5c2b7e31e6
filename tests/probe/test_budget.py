"""How many trials a budget buys, which ones, and how long they are."""

from typing import Any

import pytest

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.schema import OptionError
from rdrop_exp.probe import conditions
from rdrop_exp.probe.budget import Budget, SeedCounts, for_minutes, for_trials, seed_counts
from rdrop_exp.probe.conditions import DROPOUT, Condition
from tests.probe.helpers import COST


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        (4, SeedCounts(2)),
        (5, SeedCounts(2)),
        (12, SeedCounts(6)),
        (16, SeedCounts(5, 0, 3)),
        (21, SeedCounts(5, 5, 3)),
        (27, SeedCounts(5, 5, 3, 3)),
        (33, SeedCounts(7, 7, 3, 3)),
        (1000, SeedCounts(16, 16, 3, 3)),
    ],
)
def test_layouts_stay_within_their_trials(trials: int, expected: SeedCounts) -> None:
    assert seed_counts(trials) == expected
    assert expected.trials <= trials


def test_layouts_without_what_is_impossible() -> None:
    assert seed_counts(30, less_data=False, smaller=False, higher_rate=False) == SeedCounts(15)
    assert seed_counts(20, less_data=False) == SeedCounts(6, 6)
    with pytest.raises(OptionError, match="--trials=3 is too few"):
        seed_counts(3)


def test_costs() -> None:
    assert COST.seconds() == 110
    assert COST.wall(6) == 10 + 3 * 110
    assert COST.wall(7, 0.5) == 10 + 4 * 55
    five = for_trials(5, COST)
    assert (five.seeds, five.seconds, five.length_scale) == (SeedCounts(2), 230, 1)
    assert "1 of the 5 trials" in five.notes[0]
    assert for_trials(4, COST).notes == []


def test_minutes_are_kept_and_trials_shortened_only_where_they_must_be() -> None:
    for minutes in (6, 10, 30, 100):
        budget = for_minutes(minutes, COST)
        assert budget.length_scale == 1
        assert budget.seconds is not None
        assert budget.seconds <= 60 * minutes
    assert for_minutes(6, COST).seeds == SeedCounts(3)
    short = for_minutes(2, COST)
    assert short.length_scale == pytest.approx(1 / 3)
    assert short.seconds == pytest.approx(120)
    assert "cut to 333 steps" in short.notes[0]
    with pytest.raises(OptionError, match=r"--minutes=0\.2 .*6 trials of 20 steps take about 1 min"):
        for_minutes(0.2, COST)


def test_trials_are_pairs_of_the_same_seed() -> None:
    o = from_dict({"model": {"args": {"embed_dim": 96, "num_heads": 3}}, "schedule": {"epochs": 4}})
    trials = conditions.probe_trials(o, Budget(SeedCounts(3, 2, 1, 1)), DROPOUT, 10, 1280)
    assert len(trials) == 6 + 2 + 2 + 2
    assert [(trial.condition, trial.rate) for trial in trials[:7]] == [
        (Condition.GIVEN, 0),
        (Condition.GIVEN, 0.1),
        (Condition.GIVEN, 0.3),
        (Condition.LESS_DATA, 0),
        (Condition.LESS_DATA, 0.1),
        (Condition.SMALLER_MODEL, 0),
        (Condition.SMALLER_MODEL, 0.1),
    ]
    assert {(t.condition, t.seed) for t in trials if t.rate} == {(t.condition, t.seed) for t in trials if not t.rate}
    assert trials[1].overrides == {"regularizer": "dropout", "regularizer.dropout": 0.1, "seed": 0}
    assert trials[0].overrides == {"regularizer": "none", "seed": 0}
    less = {"dataset.fraction": 0.3, "schedule.steps": 40, "validate_every": 3}
    assert less.items() <= trials[3].overrides.items()
    assert trials[5].overrides["++model.args.embed_dim"] == 48


def test_shortened_trials_keep_their_shape() -> None:
    o = from_dict({"schedule": {"epochs": 10, "warmup_epochs": 2}})
    assert conditions.shortened(o, Budget(SeedCounts(3)), 10) == {}
    assert conditions.shortened(o, Budget(SeedCounts(3), 0.25), 10) == {
        "schedule.steps": 25,
        "schedule.warmup_steps": 5,
    }


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"name": "vit_base_patch16_224"}, {"model": "timm", "model.name": "vit_small_patch16_224"}),
        ({"name": "vit_tiny_patch16_224"}, None),
        ({"name": "resnet50"}, {"model": "timm", "model.name": "resnet34"}),
        ({"name": "convnext_femto"}, {"model": "timm", "model.name": "convnext_atto"}),
        ({"name": "mixer_b16_224"}, {"model": "timm", "model.name": "mixer_s16_224"}),
        ({"name": "vit_base_patch16_224", "pretrained": True}, None),
        ({"name": "resnet18", "args": {"channels": [8, 9]}}, {"++model.args.channels": [4, 4]}),
        ({"name": "vit_tiny_patch16_224", "args": {"embed_dim": 6, "num_heads": 2}}, None),
        ({"name": "resnet50", "args": {"stem_width": 16}}, None),
    ],
    ids=str,
)
def test_smaller_models(model: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert conditions.smaller(from_dict({"model": model}).model) == expected
