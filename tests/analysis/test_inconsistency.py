"""Train-test inconsistency and calibration, against values worked out by hand."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rdrop_exp.analysis.inconsistency import measure_inconsistency
from rdrop_exp.analysis.online import make_analysis
from rdrop_exp.analysis.rebuild import dropout_copy
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.batch import Batch
from rdrop_exp.data.load import load_data
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.noise.layers import Dropout
from rdrop_exp.train import trial
from rdrop_exp.train.divergences import kl
from rdrop_exp.train.monte_carlo import calibration_error
from rdrop_exp.train.setup import initial_network
from tests.analysis.helpers import CAST, CPU
from tests.conftest import SMALL, VIT, merged


def test_calibration_error_by_hand() -> None:
    p = torch.tensor([[0.95, 0.05], [0.9, 0.1], [0.4, 0.6], [0.45, 0.55]])
    # Confidences .95 (right), .9 (wrong), .6 (right), .55 (wrong): each in a bin of its own among 15.
    expected = (0.05 + 0.9 + 0.4 + 0.55) / 4
    assert calibration_error(p, torch.tensor([0, 1, 1, 0])) == pytest.approx(expected, abs=1e-6)
    # In two bins, (0, .5] and (.5, 1], they are together: accuracy .5, confidence .75.
    assert calibration_error(p, torch.tensor([0, 1, 1, 0]), bins=2) == pytest.approx(0.25, abs=1e-6)


def test_a_sure_and_right_model_is_calibrated() -> None:
    assert calibration_error(torch.eye(3), torch.arange(3)) == 0
    assert calibration_error(torch.eye(3), (torch.arange(3) + 1) % 3) == 1


def network(rate: float) -> tuple[nn.Module, InstalledNoise]:
    """Two classes from one number, which dropout before it doubles or clears (rate 1/2)."""
    dropout = Dropout(rate)
    linear = nn.Linear(1, 2, bias=False)
    linear.weight.data = torch.tensor([[1.0], [-1.0]])
    return nn.Sequential(dropout, linear), InstalledNoise([dropout])


def test_inconsistency_in_closed_form() -> None:
    inputs, passes = torch.ones(4000, 1), 4
    batches = [Batch(inputs, torch.zeros(4000, dtype=torch.int64))]
    result = measure_inconsistency(*network(0.5), batches, CPU, CAST, passes=passes, seed=0)

    def distance(a: float, b: float) -> float:
        return float(kl(torch.tensor([[a, -a]]), torch.tensor([[b, -b]])))

    # A noisy input is 0 or 2, each half the time; the clean one is 1.
    assert result.inconsistency.value == pytest.approx((distance(0.0, 1.0) + distance(2.0, 1.0)) / 2, rel=0.02)
    assert result.divergence.value == pytest.approx(distance(0.0, 2.0) / 2, rel=0.02)
    assert result.inconsistency.low is not None
    assert result.accuracy == result.accuracy_mc == 1
    clean = 1 / (1 + math.exp(-2))
    assert result.ece == pytest.approx(1 - clean, abs=1e-5)
    assert result.ece_mc == pytest.approx(1 - (1 / (1 + math.exp(-4)) + 0.5) / 2, abs=0.01)
    assert (result.items, result.passes) == (4000, 4)


def test_without_noise_all_passes_are_the_clean_one() -> None:
    model, _ = network(0.0)
    batches = [Batch(torch.randn(50, 1), torch.randint(0, 2, (50,)))]
    result = measure_inconsistency(model, InstalledNoise([]), batches, CPU, CAST, passes=3, seed=0)
    assert result.divergence.value == result.inconsistency.value == result.gain.value == 0
    assert result.ece == pytest.approx(result.ece_mc)


def test_a_mask_selects_the_items_that_count() -> None:
    inputs, targets = torch.tensor([[1.0], [5.0], [1.0]]), torch.tensor([0, 1, 0])
    masked = Batch(inputs, targets, torch.tensor([True, False, True]))
    result = measure_inconsistency(*network(0.0), [masked], CPU, CAST, passes=2, seed=0)
    assert (result.items, result.accuracy) == (2, 1.0)


def test_only_the_noise_is_in_train_mode() -> None:
    o = from_dict(merged(SMALL, {"regularizer": {"dropout": 0.3}}))
    data = load_data(o.dataset, batch_size=64, seed=0, device=CPU)
    model, noise = initial_network(o, data.spec, CPU)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    first = measure_inconsistency(model, noise, data.validation(), CPU, CAST, passes=3, seed=0)
    assert first.inconsistency.value > 0
    assert first.items == data.sizes["validation"]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    assert measure_inconsistency(model, noise, data.validation(), CPU, CAST, passes=3, seed=0) == first
    assert measure_inconsistency(model, noise, data.validation(), CPU, CAST, passes=3, seed=1) != first
    with torch.no_grad():
        images = next(data.validation()).inputs
        noise.set_rates(1.0)
        assert torch.equal(model(images), model(images))  # it has left the noise off in eval mode


@pytest.mark.parametrize("regularizer", [{}, {"drop_path": 0.3}, {"dropout": 0.5, "sites": "mlp"}], ids=str)
def test_a_dropout_copy_has_the_same_outputs_without_noise_and_others_with(regularizer: dict[str, float | str]) -> None:
    o = from_dict(merged(VIT, {"regularizer": regularizer}))
    data = load_data(o.dataset, batch_size=64, seed=0, device=CPU)
    model, _ = initial_network(o, data.spec, CPU)
    copied, noise = dropout_copy(o, 0.2, data.spec, CPU)
    copied.load_state_dict(model.state_dict())
    images = next(data.validation()).inputs

    def outputs(network: nn.Module) -> Tensor:
        with torch.no_grad():
            result: Tensor = network.eval()(images)
        return result

    assert torch.equal(outputs(model), outputs(copied))
    assert [m.highest for m in noise.layers] == [pytest.approx(0.2)] * len(noise.layers)
    assert measure_inconsistency(copied, noise, data.validation(), CPU, CAST, passes=2, seed=0).divergence.value > 0


def test_a_dropout_copy_without_noise_is_refused(tmp_path: Path) -> None:
    values = {"analysis": {"every": 5, "batches": 2, "dropout": 0.0}, "output_dir": str(tmp_path)}
    with pytest.raises(OptionError, match=r"analysis\.dropout"):
        trial.run(from_dict(merged(VIT, values)), make_analysis=make_analysis)
