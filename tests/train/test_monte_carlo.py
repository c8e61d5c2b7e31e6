"""Monte-Carlo dropout at test, against the mean written out, and against what rdrop-analyze measures."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from rdrop_exp.analysis.gradient_meter import MeterSettings
from rdrop_exp.analysis.offline import analyse_trial
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.load import load_data
from rdrop_exp.report.collect import collect
from rdrop_exp.report.compare import make_report
from rdrop_exp.seeds import derive_seed
from rdrop_exp.train import checkpoint, trial
from rdrop_exp.train.setup import initial_network, set_up
from rdrop_exp.train.step import seed_noise
from tests.conftest import SMALL, VIT, folder_of, merged

CPU = torch.device("cpu")
NEW = {"test/ece", "test/accuracy_mc", "test/loss_mc", "test/ece_mc"}


def run(tmp_path: Path, *values: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    base = {"output_dir": str(tmp_path), "schedule": {"steps": 4}, "regularizer": {"dropout": 0.3}}
    o = from_dict(merged(SMALL, base, *values))
    result = trial.run(o)
    assert result is not None
    return result, o


def test_it_adds_the_mean_of_noisy_softmaxes_and_changes_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, o = run(tmp_path, VIT)
    again, _ = run(tmp_path, VIT, {"monte_carlo": 3})
    assert "rdrop-analyze" in capsys.readouterr().out
    assert again["metrics"] == plain["metrics"]
    shutil.rmtree(folder_of(o))
    found, o = run(tmp_path, VIT, {"monte_carlo": 3})
    assert found["identity"] == plain["identity"]
    assert found["metrics"].keys() - plain["metrics"].keys() == NEW
    assert found["metrics"] | plain["metrics"] == found["metrics"]

    # By hand: a probability at a time, with the same draws.
    data = load_data(o.dataset, batch_size=128, seed=0, device=CPU)
    network, noise = initial_network(o, data.spec, CPU)
    saved = checkpoint.load(folder_of(o), CPU)
    assert saved is not None
    network.load_state_dict(saved["model"])
    network.eval()
    for layer in noise.layers:
        layer.train()
    right, loss, bins, count = 0, 0.0, dict.fromkeys(range(15), 0.0), 0
    for i, batch in enumerate(data.test()):
        mean = torch.zeros(len(batch.targets), 10)
        for number in (1, 2, 3):
            noise.set_rates(1.0)
            seed_noise(CPU, derive_seed(0, "inconsistency", i, number))
            with torch.no_grad():
                mean += network(batch.inputs).softmax(-1) / 3
        for p, target in zip(mean, batch.targets.tolist(), strict=True):
            confidence, predicted = (x.item() for x in p.max(0))
            right += predicted == target
            loss -= p[target].log().item()
            bins[min(14, int(confidence * 15))] += (predicted == target) - confidence
            count += 1
    assert found["metrics"]["test/accuracy_mc"] == pytest.approx(right / count)
    assert found["metrics"]["test/loss_mc"] == pytest.approx(loss / count, rel=1e-4)
    assert found["metrics"]["test/ece_mc"] == pytest.approx(sum(map(abs, bins.values())) / count, abs=1e-4)

    measured = analyse_trial(
        collect([tmp_path])[0][0], MeterSettings(), gradients=False, passes=3, dropout=None, dataset="test",
        device="cpu",
    )["inconsistency"]  # fmt: skip
    for name, theirs in (("accuracy_mc", "accuracy_mc"), ("ece", "ece"), ("ece_mc", "ece_mc")):
        assert found["metrics"][f"test/{name}"] == pytest.approx(measured[theirs], abs=1e-6)


def test_without_noise_only_calibration_is_measured(tmp_path: Path) -> None:
    metrics = run(tmp_path, {"monte_carlo": 2, "regularizer": {"when": "never"}})[0]["metrics"]
    assert NEW & metrics.keys() == {"test/ece"}
    assert 0 <= metrics["test/ece"] <= 1


def test_it_is_refused_where_items_have_no_class() -> None:
    with pytest.raises(OptionError, match="monte_carlo=2 is for classification"):
        set_up(from_dict({"monte_carlo": 2, "dataset": {"name": "toy_language"}, "model": {"name": "gpt2"}}))


def test_the_report_shows_it(tmp_path: Path) -> None:
    run(tmp_path, {"monte_carlo": 2})
    run(tmp_path, {"monte_carlo": 2, "regularizer": {"when": "never"}})
    (note,) = [note for note in make_report([tmp_path]).comparisons[0].notes if "ECE" in note]
    metrics = [trial.metrics for trial in collect([tmp_path])[0]]
    noisy, clean = sorted(metrics, key=lambda m: "test/ece_mc" not in m)
    assert f"`none` {100 * clean['test/ece']:.2f}" in note
    ece, ece_mc, accuracy = (100 * noisy[f"test/{name}"] for name in ("ece", "ece_mc", "accuracy_mc"))
    assert f"`dropout` {ece:.2f} ({ece_mc:.2f}, accuracy {accuracy:.2f})" in note
