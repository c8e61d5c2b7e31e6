"""Runs of equal steps against the step plans themselves, step for step."""

import dataclasses
import itertools
import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hydra_slots.tree import common_steps, key_at
from rdrop_exp.config.canonical import canonical
from rdrop_exp.config.options import Analysis, Logger, Model, Optimizer, Options, Peer, Schedule
from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.config.schedules import RATE_SCHEDULES, rate_scale
from rdrop_exp.config.segments import segments
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.train.step import step_plan

PER_EPOCH, EPOCHS = 10, 6
TOTAL = PER_EPOCH * EPOCHS


def trial(peer: str = "", **values: Any) -> Options:
    regularizer = Regularizer(**values)
    schedule = Schedule(epochs=EPOCHS)
    options = Options(share_steps=True, regularizer=regularizer, schedule=schedule, peer=Peer(name=peer))
    return canonical(options)[0]


def steps(o: Options) -> list[Any]:
    """All that decides each step, from its plan."""
    r = o.regularizer
    noise = cast(InstalledNoise, SimpleNamespace(layers=[1] if r.dropout or r.drop_path or r.second_dropout else []))
    result = []
    for step in range(TOTAL):
        plan = step_plan(o, noise, step, PER_EPOCH, TOTAL)
        passes = r.passes if r.second_dropout or r.multi_sample else None
        rates = (r.dropout, r.second_dropout, passes, r.multi_sample, r.drop_path, r.profile, r.sites)
        acting = (plan.rate_scale, rates) if plan.rate_scale and noise.layers else None
        loss = (r.alpha, plan.num_passes, r.stop_gradient, r.divergence) if plan.use_consistency else None
        result.append((acting, loss))
    return result


def common(a: list[Any], b: list[Any]) -> int:
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=True)))


@pytest.mark.parametrize("peer", ["", "vit"])
def test_trials_share_the_steps_before_their_plans_differ_whatever_their_schedules(
    peer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RATE_SCHEDULES, "waves", lambda r, t, cutoff, total: (t // 7) % 3 / 2)
    draw = random.Random(0)
    trials = [trial(peer)]
    for _ in range(160):
        values: dict[str, Any] = {
            "when": draw.choice(list(RATE_SCHEDULES)),
            "ramp": draw.choice(["constant", "linear", "cosine"]),
            "cutoff_epoch": draw.choice([1, 1.5, 3, 6]),
            "gamma": draw.choice([0.01, 0.1]),
            "alpha": draw.choice([0, 0, 1.0]),
            "passes": draw.choice([2, 3]),
            "every": draw.choice([1, 2, 7, 25]),
            "dropout": draw.choice([0, 0.1, 0.1, 0.2]),
            "drop_path": draw.choice([0, 0, 0.1]),
            "second_dropout": draw.choice([None, None, 0.3]),
            "multi_sample": draw.choice([False, False, True]),
        }
        trials.append(trial(peer, **values))
    plans, runs = [steps(o) for o in trials], [segments(o, PER_EPOCH, TOTAL) for o in trials]
    for a, b in itertools.combinations(range(len(trials)), 2):
        shared = common(plans[a], plans[b])
        assert common_steps(runs[a], runs[b]) == shared, (trials[a].regularizer, trials[b].regularizer)
        for step in {1, shared, min(shared + 1, TOTAL)} - {0}:
            assert (key_at(runs[a], step) == key_at(runs[b], step)) == (step <= shared)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1}, {"optimizer": Optimizer(lr=0.1)}, {"optimizer": Optimizer(accumulate=2)}, {"threads": 2},
        {"logger": Logger(every=7)}, {"model": Model(name="resnet18")}, {"fast_linear": False},
    ],
)  # fmt: skip
def test_whatever_else_differs_they_share_nothing(change: dict[str, Any]) -> None:
    a = trial()
    b = dataclasses.replace(a, **change)
    assert common_steps(segments(a, PER_EPOCH, TOTAL), segments(b, PER_EPOCH, TOTAL)) == 0
    assert common_steps(segments(a, PER_EPOCH, TOTAL, "x"), segments(a, PER_EPOCH, TOTAL, "y")) == 0


@pytest.mark.parametrize(
    "change", [{"output_dir": "x"}, {"logger": Logger(project="x")}, {"keep_weights": False}, {"pause_epoch": 2}]
)
def test_where_it_writes_does_not_matter(change: dict[str, Any]) -> None:
    a = trial()
    assert segments(dataclasses.replace(a, **change), PER_EPOCH, TOTAL) == segments(a, PER_EPOCH, TOTAL)


@pytest.mark.parametrize("change", [{"compile": True}, {"analysis": Analysis(every=5)}, {"share_steps": False}])
def test_a_trial_that_might_end_otherwise_shares_nothing(change: dict[str, Any]) -> None:
    assert segments(dataclasses.replace(trial(), **change), PER_EPOCH, TOTAL) == []


def test_schedules_of_long_trials_are_asked_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def counted(*given: Any) -> float:
        nonlocal asked
        asked += 1
        return rate_scale(*given)

    monkeypatch.setattr("rdrop_exp.config.segments.rate_scale", counted)
    for when in RATE_SCHEDULES:
        segments(trial(when=when, ramp="cosine", cutoff_epoch=3, dropout=0.1, alpha=1), 50_000, 300_000)
    assert asked < 30 * len(RATE_SCHEDULES)
