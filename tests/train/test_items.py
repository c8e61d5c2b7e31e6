"""items.npz adds up to the metrics, has one order whatever reads the data, and survives stops and old checkpoints."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.data.batch import Batch
from rdrop_exp.data.load import load_data
from rdrop_exp.runs.folder import read_items
from rdrop_exp.tasks.meters import AccuracyMeter
from rdrop_exp.train import checkpoint, trial
from rdrop_exp.train.evaluate import evaluate
from rdrop_exp.train.step import autocast
from tests.conftest import SMALL, Crash, crash_at_save, folder_of, merged
from tests.train.test_trial import options

CPU = torch.device("cpu")


@pytest.mark.parametrize("values", [{}, {"peer": {"name": "test_resnet"}, "regularizer": {"alpha": 0.6}}], ids=str)
def test_items_add_up_to_the_metrics_of_the_chosen_epoch(tmp_path: Path, values: dict[str, Any]) -> None:
    o = from_dict(merged(SMALL, {"output_dir": str(tmp_path), "schedule": {"epochs": 3}}, values))
    result = trial.run(o)
    assert result is not None
    items = read_items(folder_of(o))
    sizes = load_data(o.dataset, batch_size=8, seed=0, device=CPU).sizes
    assert {name: values.dtype for name, values in items.items()} == {"val": bool, "test": bool}
    assert [len(items["val"]), len(items["test"])] == [sizes["validation"], sizes["test"]]
    for name in ("val", "test"):
        assert items[name].mean() == pytest.approx(result["metrics"][f"{name}/accuracy"], abs=1e-6)


class Projection(nn.Module):
    """Predicts from each image alone."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        weights = torch.randn(images[0].numel(), 10, generator=torch.Generator().manual_seed(0))
        return images.flatten(1).double() @ weights.double()


def evaluated(o: Options, batch_size: int) -> torch.Tensor:
    data = load_data(o.dataset, batch_size=batch_size, seed=batch_size, device=CPU)
    return evaluate(Projection(), data.validation(), autocast("fp32", CPU), AccuracyMeter("val"))[1]


def test_the_order_is_that_of_the_set_whatever_reads_it() -> None:
    o = from_dict(SMALL)
    first = evaluated(o, 8)
    data = load_data(o.dataset, batch_size=500, seed=3, device=CPU)
    (batch,) = data.validation()
    assert torch.equal(first, Projection()(batch.inputs).argmax(-1) == batch.targets)
    assert 0 < first.sum() < len(first)
    for values in ({}, {"resident": False, "workers": 0}, {"resident": False, "workers": 2}):
        assert torch.equal(evaluated(from_dict(merged(SMALL, {"dataset": values})), 32), first)


def test_a_sequence_has_the_share_of_its_kept_tokens() -> None:
    outputs = torch.tensor([[[2.0, 1.0], [0.0, 1.0]], [[0.0, 3.0], [5.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])
    targets = torch.tensor([[0, 0], [1, 0], [0, 0]])
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    for kept, expected in ((None, [0.5, 1.0, 1.0]), (mask, [0.5, 1.0])):
        batch = Batch(outputs, targets, kept)
        assert evaluate(nn.Identity(), [batch], autocast("fp32", CPU), AccuracyMeter("val"))[1].tolist() == expected


def test_items_are_restored_with_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    through, stopped = options(tmp_path / "through"), options(tmp_path / "stopped")
    trial.run(through)
    with monkeypatch.context() as crash:
        crash.setattr(trial, "write_result", lambda *_: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            trial.run(stopped)
    trial.run(stopped)
    found, expected = read_items(folder_of(stopped)), read_items(folder_of(through))
    assert found.keys() == {"val", "test"}
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("at", [20, 30])
def test_a_checkpoint_of_an_earlier_version_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    o = options(tmp_path, {"checkpoint_seconds": 0, "select": "last" if at == 20 else "best"})
    with monkeypatch.context() as crash:
        crash_at_save(crash, at)
        with pytest.raises(Crash):
            trial.run(o)
    saved = checkpoint.load(folder_of(o), CPU)
    assert saved is not None
    del saved["items"]
    saved["state"]["best_value"] = 2.0 if at == 30 else 0.0  # no later epoch is better, or each is
    checkpoint.save(folder_of(o), saved)
    assert trial.run(o) is not None
    assert read_items(folder_of(o)).keys() == ({"test"} if at == 30 else {"val", "test"})
