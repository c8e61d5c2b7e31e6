"""Gradients of real trials: closed forms, no effect on training, exact resume, and what the options change."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rdrop_exp.analysis import minibatches
from rdrop_exp.analysis.gradient_meter import GradientMeter, MeterSettings, flat_vector, preserve_state
from rdrop_exp.analysis.online import make_analysis
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.batch import items, split
from rdrop_exp.seeds import derive_seed
from rdrop_exp.train import checkpoint, trial
from rdrop_exp.train.step import seed_noise, step_plan
from tests.analysis.helpers import CPU, gradient_meter, prepared, setup_of
from tests.conftest import SMALL, VIT, Crash, crash_at_save, folder_of, merged


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def softmax_gradient(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Of the mean cross-entropy of a linear classifier: (p − y) xᵀ for the weights, p − y for the bias."""
    x = images.flatten(1)
    residual = network(images).softmax(-1) - nn.functional.one_hot(labels, 10)
    return torch.cat([(residual.T @ x / len(x)).flatten(), residual.mean(0)]).detach()


def test_a_linear_model_on_two_points() -> None:
    o, data = prepared({"dataset": {"repeat_batch": True}, "optimizer": {"batch_size": 2}})
    network = linear()
    (two,) = minibatches.whole_set(o, data, 2)
    one, other = (softmax_gradient(network, two.inputs[i : i + 1], two.targets[i : i + 1]) for i in (0, 1))
    reading = GradientMeter(setup_of(o, data, network), MeterSettings(batches=9, batch_size=1)).read(0)
    g = reading.gradient
    assert g.full_norm == pytest.approx(float(((one + other) / 2).norm()), rel=1e-5)
    picks = [int(b.targets) == int(two.targets[0]) for b in minibatches.mini_batches(o, data, 9, 1, 0, augment=False)]
    assert 0 < sum(picks) < 9
    assert two.targets[0] != two.targets[1]
    share = 2 * sum(picks) * (9 - sum(picks)) / (9 * 8)  # share of the pairs that are of both points
    cosine = float(one @ other / (one.norm() * other.norm()))
    assert g.direction_variance.value == pytest.approx(share * (1 - cosine) / 2, abs=1e-6)
    assert g.norm.value == pytest.approx(sum(float((one if p else other).norm()) for p in picks) / 9, rel=1e-5)


def test_the_full_gradient_is_that_of_the_whole_training_set() -> None:
    o, data = prepared({"optimizer": {"batch_size": 100}, "dataset": {"crop": 2, "erase": 0.5}})
    network = linear()
    (everything,) = minibatches.whole_set(o, data, 10_000)
    assert len(everything.targets) == data.sizes["train"]
    expected = softmax_gradient(network, everything.inputs, everything.targets)
    reading = GradientMeter(
        setup_of(o, data, network), MeterSettings(batches=4, batch_size=10_000, augment=False)
    ).read(0)
    assert reading.gradient.full_norm == pytest.approx(float(expected.norm()), rel=1e-5)
    assert reading.batch_size == data.sizes["train"]
    assert reading.gradient.direction_error.value == pytest.approx(0, abs=1e-6)
    assert reading.gradient.variance == pytest.approx(0, abs=1e-9)
    augmented = GradientMeter(setup_of(o, data, network), MeterSettings(batches=4, batch_size=10_000)).read(0)
    assert augmented.gradient.full_norm == reading.gradient.full_norm
    assert augmented.gradient.direction_error.value > 1e-3


def test_streamed_data_give_the_same_whole_set_and_independent_batches() -> None:
    (o, resident), (_, streamed) = (
        prepared({"dataset": {"resident": resident, "workers": 0, "limit": 3, "scale": [1.0, 1.0]}})
        for resident in (True, False)
    )
    for one, other in zip(
        minibatches.whole_set(o, resident, 100), minibatches.whole_set(o, streamed, 100), strict=True
    ):
        assert torch.equal(one.targets, other.targets)
        assert torch.allclose(one.inputs, other.inputs, atol=1e-5)
    counts = [len(batch.targets) for batch in minibatches.whole_set(o, resident, 100)]
    assert counts == [100, 100, 100]  # dataset.limit
    for augment in (True, False):
        drawn = [list(minibatches.mini_batches(o, data, 2, 30, 5, augment)) for data in (resident, streamed)]
        targets = [[batch.targets.tolist() for batch in batches] for batches in drawn]
        assert targets[0] == targets[1]
        assert len(targets[0]) == 2


def test_label_smoothing_is_part_of_the_loss_also_without_augmentation() -> None:
    o, data = prepared({"dataset": {"label_smoothing": 0.2, "crop": 1}})
    batch = next(minibatches.mini_batches(o, data, 1, 8, 0, augment=False))
    assert batch.targets.shape == (8, 10)
    assert batch.targets.max() == pytest.approx(0.82)


def test_mini_batches_are_drawn_alone_and_named_by_seed_and_step() -> None:
    o, data = prepared({"dataset": {"crop": 2}})
    draw = [[b.inputs for b in minibatches.mini_batches(o, data, 3, 50, step, augment=True)] for step in (0, 0, 7)]
    assert all(torch.equal(a, b) for a, b in zip(draw[0], draw[1], strict=True))
    assert not torch.equal(draw[0][0], draw[2][0])
    assert not torch.equal(draw[0][0], draw[0][1])


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"regularizer": {"dropout": 0.3, "drop_path": 0.2, "alpha": 0.7}, "dataset": {"mixup": 0.5}},
        {"regularizer": {"dropout": 0.3, "alpha": 0.7, "passes": 3, "second_dropout": 0.1}},
        {"peer": {"name": "test_resnet"}, "regularizer": {"alpha": 0.6}},
    ],
    ids=str,
)
def test_it_is_the_gradient_that_training_steps_along(tmp_path: Path, values: dict[str, Any]) -> None:
    plain = {"name": "momentum", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0, "batch_size": 64, "accumulate": 2}
    steps = {"shape": "constant", "steps": 1}
    o, data = prepared({"optimizer": plain, "schedule": steps, "select": "last", "output_dir": str(tmp_path)}, values)
    assert trial.run(o, make_analysis=make_analysis) is not None
    saved = checkpoint.load(folder_of(o), CPU)
    assert saved is not None
    meter = gradient_meter(o, data)
    plan = step_plan(o, meter.noise, 0, data.steps_per_epoch, 1)
    batch = next(data.train(0))
    seed_noise(CPU, derive_seed(o.seed, "step", 0))
    meter.noise.set_rates(plan.rate_scale, plan.num_passes)
    with preserve_state(meter.network):
        gradient = meter.gradient(split(batch, 2), plan, items(batch))
    meter.network.load_state_dict(saved["model"])
    assert torch.allclose(meter.initial - flat_vector(meter.parameters), gradient, atol=2e-6)
    assert gradient.norm() > 0.01


def test_noise_off_is_exact() -> None:
    noisy, data = prepared({"regularizer": {"dropout": 0.5, "drop_path": 0.3, "alpha": 1.0}})
    clean, _ = prepared()
    off = gradient_meter(noisy, data, batches=4, rate_scale=0.0, loss="task").read(3)
    none = gradient_meter(clean, data, batches=4).read(3)
    on = gradient_meter(noisy, data, batches=4).read(3)
    assert off.gradient == none.gradient
    assert off.rate_scale == none.rate_scale == 0.0
    assert on.rate_scale == 1.0
    assert on.gradient.full_norm == none.gradient.full_norm
    assert on.gradient.direction_error.value > none.gradient.direction_error.value


def test_noise_and_loss_are_those_of_the_step() -> None:
    r = {"dropout": 0.2, "alpha": 1.0, "every": 2, "when": "early", "cutoff_epoch": 1, "ramp": "linear"}
    o, data = prepared({"regularizer": r})
    meter = gradient_meter(o, data, batches=2)
    readings = [meter.read(step) for step in (0, 1, data.steps_per_epoch)]
    assert [reading.rate_scale for reading in readings] == [1.0, pytest.approx(1 - 1 / (data.steps_per_epoch - 1)), 0.0]
    assert [reading.consistency for reading in readings] == [True, False, False]
    task = gradient_meter(o, data, batches=2, loss="task").read(0)
    assert not task.consistency
    assert task.gradient.norm.value != pytest.approx(readings[0].gradient.norm.value, rel=1e-3)


def test_an_analysis_leaves_the_network_as_it_was() -> None:
    o, data = prepared(SMALL, {"regularizer": {"dropout": 0.2}})
    meter = gradient_meter(o, data, batches=2)
    meter.network.eval()
    before = {k: v.clone() for k, v in meter.network.state_dict().items()}
    first = meter.read(0)
    assert any("running_mean" in name for name in before)
    assert all(torch.equal(v, before[k]) for k, v in meter.network.state_dict().items())
    assert not any(module.training for module in meter.network.modules())
    assert all(p.grad is None for p in meter.parameters)
    assert meter.read(0).gradient == first.gradient


def test_distance_is_from_the_initial_weights() -> None:
    o, data = prepared()
    meter = gradient_meter(o, data, batches=2)
    assert meter.read(0).distance == 0
    with torch.no_grad():
        for p in meter.parameters:
            p.mul_(1.5)
    assert meter.read(0).relative_distance == pytest.approx(0.5)


def test_mixup_requires_even_batches() -> None:
    o, data = prepared({"dataset": {"mixup": 0.5}})
    with pytest.raises(OptionError, match="batch size of 7"):
        gradient_meter(o, data, batch_size=7)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision(precision: str) -> None:
    o, data = prepared({"precision": precision, "regularizer": {"dropout": 0.1}})
    single, _ = prepared({"regularizer": {"dropout": 0.1}})
    norm, expected = (gradient_meter(x, data, batches=2).read(0).gradient.norm.value for x in (o, single))
    assert norm == pytest.approx(expected, rel=0.02)


# -- while training ---------------------------------------------------------------------------------------------------
def rows_of(folder: Path) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Rows of training and of analyses, without times."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lines = [{k: v for k, v in line.items() if k not in ("images_per_second", "analysis/seconds")} for line in lines]
    return [r for r in lines if "lr" in r], [r for r in lines if "lr" not in r]


@pytest.mark.parametrize("base", [VIT, SMALL], ids=["vit", "resnet"])
@pytest.mark.parametrize("regularizer", [{}, {"dropout": 0.2, "alpha": 1.0}], ids=["none", "rdrop"])
def test_analysis_changes_nothing_of_a_trial(tmp_path: Path, base: dict[str, Any], regularizer: dict[str, Any]) -> None:
    values = merged(base, {"regularizer": regularizer, "dataset": {"mixup": 0.5}, "optimizer": {"ema": 0.9}})
    without = from_dict(merged(values, {"output_dir": str(tmp_path / "without")}))
    watched = {"analysis": {"every": 6, "batches": 3}, "output_dir": str(tmp_path / "with")}
    analysed = from_dict(merged(values, watched))
    expected, result = trial.run(without, make_analysis=make_analysis), trial.run(analysed, make_analysis=make_analysis)
    assert expected is not None
    assert result is not None
    assert result["metrics"] == expected["metrics"]
    assert result["identity"] == expected["identity"]
    (rows, none), (same, analyses) = rows_of(folder_of(without)), rows_of(folder_of(analysed))
    assert rows == same
    assert none == []
    assert [row["step"] for row in analyses] == [0, 6, 12, 18]
    names = {"gradient_norm", "direction_variance", "direction_error", "model_distance", "squared_bias", "variance"}
    names |= {"rate_scale", "inconsistency", "divergence", "ece", "ece_mc", "direction_error_low", "relative_distance"}
    assert {f"analysis/{name}" for name in names} <= analyses[1].keys()
    assert analyses[0]["analysis/model_distance"] == 0 < analyses[1]["analysis/model_distance"]
    assert analyses[1]["analysis/inconsistency"] > 0


@pytest.mark.parametrize("at", [5, 6, 7])
def test_resuming_gives_the_same_analyses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    watched = {"analysis": {"every": 6, "batches": 3}, "checkpoint_seconds": 0, "regularizer": {"dropout": 0.2}}
    through = from_dict(merged(VIT, watched, {"output_dir": str(tmp_path / "through")}))
    stopped = from_dict(merged(VIT, watched, {"output_dir": str(tmp_path / "stopped")}))
    expected = trial.run(through, make_analysis=make_analysis)
    crash_at_save(monkeypatch, at)
    with pytest.raises(Crash):
        trial.run(stopped, make_analysis=make_analysis)
    result = trial.run(stopped, make_analysis=make_analysis)
    assert expected is not None
    assert result is not None
    assert result["metrics"] == expected["metrics"]
    assert rows_of(folder_of(stopped)) == rows_of(folder_of(through))
