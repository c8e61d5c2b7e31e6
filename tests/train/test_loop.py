"""The loop against a loop written by hand, and the claims that R-Drop's bookkeeping makes."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.config.schedules import RATE_SCHEDULES
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.load import load_data
from rdrop_exp.seeds import derive_seed
from rdrop_exp.train import trial
from rdrop_exp.train.rows import TrainingError
from tests.conftest import SMALL, VIT, folder_of, merged


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def run(tmp_path: Path, *values: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, float]]]:
    o = from_dict(merged(SMALL, {"output_dir": str(tmp_path), "logger": {"every": 1}}, *values))
    result = trial.run(o)
    assert result is not None
    return result, rows(folder_of(o))


def test_losses_equal_those_of_a_loop_written_by_hand(tmp_path: Path) -> None:
    o = from_dict(merged(VIT, {"output_dir": str(tmp_path), "logger": {"every": 1}, "schedule": {"warmup_epochs": 1}}))
    trial.run(o)
    found = [row["train/loss"] for row in rows(folder_of(o))]

    data = load_data(o.dataset, batch_size=128, seed=0, device=torch.device("cpu"))
    torch.manual_seed(derive_seed(0, "weights"))
    model = timm.create_model(o.model.name, num_classes=10, in_chans=1, img_size=8, **o.model.args).train()
    decayed = [p for p in model.parameters() if p.ndim > 1 and p is not model.pos_embed and p is not model.cls_token]
    rest = [p for p in model.parameters() if all(p is not q for q in decayed)]
    groups = [{"params": rest, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.05}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3)
    total, warmup = 2 * data.steps_per_epoch, data.steps_per_epoch
    expected = []
    for step, batch in enumerate(b for epoch in range(2) for b in data.train(epoch)):
        x = torch.tensor((step - warmup) / (total - warmup))
        share = (step + 1) / warmup if step < warmup else float(0.5 * (1 + torch.cos(torch.pi * x)))
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * share
        loss = F.cross_entropy(model(batch.inputs), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert found == pytest.approx(expected, rel=2e-5)
    assert len(found) == total


def test_alpha_zero_is_plain_dropout_bit_for_bit(tmp_path: Path) -> None:
    plain = run(tmp_path / "a", {"regularizer": {"dropout": 0.2}})
    zero = run(tmp_path / "b", {"regularizer": {"dropout": 0.2, "alpha": 0.0, "passes": 3, "every": 2}})
    assert plain[0]["metrics"] == zero[0]["metrics"]
    assert plain[0]["identity"] == zero[0]["identity"]


@pytest.fixture
def rows_seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of every training forward."""
    seen: list[int] = []
    from rdrop_exp.models import build

    original = build.create_network

    def create(*args: Any, **kwargs: Any) -> torch.nn.Module:
        model = original(*args, **kwargs)
        model.register_forward_hook(lambda m, a, out: seen.append(len(out)) if m.training else None)
        return model

    monkeypatch.setattr(build, "create_network", create)
    return seen


@pytest.mark.parametrize(
    ("regularizer", "expected"),
    [
        ({"dropout": 0.1}, [64] * 6),
        ({"dropout": 0.1, "alpha": 1.0}, [128] * 6),
        ({"dropout": 0.1, "alpha": 1.0, "passes": 3}, [192] * 6),
        ({"dropout": 0.1, "alpha": 1.0, "every": 2}, [128, 64] * 3),
        ({"dropout": 0.1, "alpha": 1.0, "when": "early", "cutoff_share": 0.5}, [128] * 3 + [64] * 3),
        ({"dropout": 0.1, "alpha": 1.0, "when": "late", "cutoff_share": 0.5}, [64] * 3 + [128] * 3),
        ({"dropout": 0.1, "alpha": 0.0}, [64] * 6),
        ({"when": "never", "alpha": 1.0}, [64] * 6),
    ],
)
def test_a_step_makes_several_passes_only_where_they_matter(
    tmp_path: Path, rows_seen: list[int], regularizer: dict[str, Any], expected: list[int]
) -> None:
    values = {"regularizer": regularizer, "schedule": {"steps": 6}, "optimizer": {"batch_size": 64}}
    run(tmp_path, values, {"share_passes": False})
    assert rows_seen == expected


def test_rates_in_the_log_follow_the_schedule(tmp_path: Path) -> None:
    r = {"dropout": 0.4, "when": "early", "cutoff_share": 0.5, "ramp": "linear"}
    _, logged = run(tmp_path, {"regularizer": r, "schedule": {"steps": 10}})
    assert [row["rate/dropout"] for row in logged] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0] + [0.0] * 5)
    assert all("rate/drop_path" not in row for row in logged)


@pytest.mark.parametrize("regularizer", [{}, {"dropout": 0.0, "alpha": 0.0}])
def test_accumulation_changes_nothing_without_batch_statistics(tmp_path: Path, regularizer: dict[str, Any]) -> None:
    one = run(tmp_path / "a", VIT, {"schedule": {"steps": 5}, "regularizer": regularizer, "logger": {"every": 1}})
    four = run(
        tmp_path / "b",
        VIT,
        {"schedule": {"steps": 5}, "regularizer": regularizer, "optimizer": {"accumulate": 4}, "logger": {"every": 1}},
    )
    first, second = ([r["train/loss"] for r in logged] for logged in (one[1], four[1]))
    assert first == pytest.approx(second, rel=1e-4)
    assert one[0]["identity"] == four[0]["identity"]


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": {"name": "sgd", "lr": 0.05, "clip": 1.0}},
        {"optimizer": {"name": "lamb", "ema": 0.9}},
        merged(VIT, {"precision": "bf16"}),
        {"dataset": {"mixup": 0.8, "cutmix": 1.0, "label_smoothing": 0.1, "crop": 1, "erase": 0.25}},
        {"regularizer": {"dropout": 0.1, "drop_path": 0.2, "alpha": 1.0, "second_dropout": 0.3, "passes": 3}},
        {"schedule": {"shape": "step", "step_epochs": 1}},
        {"peer": {"name": "test_resnet"}, "regularizer": {"alpha": 0.6}},
        {"select": "last", "validate_every": 2, "threads": 1},
    ],
    ids=str,
)
def test_options_train_to_finite_metrics(tmp_path: Path, values: dict[str, Any]) -> None:
    result, logged = run(tmp_path, values)
    assert result["status"] == "finished"
    assert all(torch.isfinite(torch.tensor(v)) for v in result["metrics"].values())
    expected = {"train/loss", "train/accuracy", "val/loss", "val/accuracy", "test/loss", "test/accuracy"}
    assert expected <= result["metrics"].keys()
    assert ("test/accuracy_peer" in result["metrics"]) == ("peer" in values)
    assert [row["step"] for row in logged] == list(range(1, len(logged) + 1))


def test_a_loss_that_is_not_finite_stops_with_step_and_option(tmp_path: Path) -> None:
    o = from_dict(merged(VIT, {"output_dir": str(tmp_path), "optimizer": {"name": "sgd", "lr": 1e12}}))
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf) at step [2-9]; .* optimizer.lr=1e\+12"):
        trial.run(o)
    result = json.loads((folder_of(o) / "result.json").read_text())
    assert result["status"] == "failed"
    assert "optimizer.lr" in result["error"]


def test_overfit_stops_when_the_loss_is_near_zero(tmp_path: Path) -> None:
    values = {"dataset": {"limit": 1, "repeat_batch": True}, "schedule": {"shape": "constant", "epochs": 200}}
    result, logged = run(tmp_path, values, {"stop_loss": 0.05, "optimizer": {"batch_size": 16}, "validate_every": 200})
    assert logged[-1]["train/loss"] < 0.05
    assert result["steps"] < 200
    assert "test/accuracy" in result["metrics"]


def test_a_cutoff_that_rounds_away_is_refused(tmp_path: Path) -> None:
    r = {"dropout": 0.1, "when": "early", "cutoff_epoch": 0.01}
    with pytest.raises(OptionError, match=r"regularizer.cutoff_epoch=0.01 is step 0 of"):
        run(tmp_path, {"regularizer": r})
    assert not list(tmp_path.iterdir())


def test_a_schedule_of_ones_own_is_one_function_and_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def triangle(r: Regularizer, t: int, cutoff: int, total: int) -> float:
        return min(t / max(cutoff, 1), max(total - t, 0) / max(total - cutoff, 1))

    monkeypatch.setitem(RATE_SCHEDULES, "triangle", triangle)
    r = {"dropout": 0.4, "when": "triangle", "cutoff_share": 0.5}
    result, logged = run(tmp_path, {"regularizer": r, "schedule": {"steps": 8}})
    assert result["options"]["regularizer"]["name"] == "triangle_dropout"
    assert [row["rate/dropout"] for row in logged] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.3, 0.2, 0.1])


def test_a_compiled_trial_does_not_inherit_the_noise_of_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_, modes = torch.compile, []

    def eagerly(network: torch.nn.Module, mode: str) -> Any:
        modes.append(mode)
        return compile_(network, backend="eager")

    monkeypatch.setattr(torch, "compile", eagerly)
    noises = ({"when": "never"}, {"dropout": 0.5, "sites": "head"}, {"dropout": 0.5, "sites": "head", "alpha": 1.0})
    found = []
    for i, regularizer in enumerate(noises):
        values = merged(VIT, {"schedule": {"epochs": 1}, "regularizer": regularizer, "compile": True})
        found.append(run(tmp_path / str(i), values, {"compile_mode": "reduce-overhead"})[1][0])
    eager = run(tmp_path / "eager", merged(VIT, {"schedule": {"epochs": 1}, "regularizer": noises[0]}))[1][0]
    assert modes == ["reduce-overhead"] * 3
    assert found[0]["train/loss"] == pytest.approx(eager["train/loss"], rel=1e-5)
    assert abs(found[1]["train/loss"] - eager["train/loss"]) > 1e-3
    assert found[2]["train/consistency"] > 1e-3
