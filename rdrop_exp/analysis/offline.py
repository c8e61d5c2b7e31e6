"""One trial measured from its folder: gradients and inconsistency of its tested weights, written to analysis.json."""

import dataclasses
import json
import time
from typing import Any

from rdrop_exp.analysis.gradient_meter import GradientMeter, MeterSettings
from rdrop_exp.analysis.inconsistency import measure_inconsistency
from rdrop_exp.analysis.rebuild import RebuiltTrial, dropout_copy, rebuild
from rdrop_exp.config.regularizer import RATES
from rdrop_exp.hardware import describe_device, versions
from rdrop_exp.report.collect import Trial
from rdrop_exp.runs.folder import atomic_file
from rdrop_exp.train.step import autocast, num_networks

DROPOUT = 0.1
"""Rate at which a model without noise of its own is measured."""


def analyse_trial(
    trial: Trial,
    settings: MeterSettings,
    *,
    gradients: bool,
    passes: int,
    dropout: float | None,
    dataset: str,
    device: str,
) -> dict[str, Any]:
    """Measure the trial, write its analysis.json and return the content; `OptionError` if weights or data are missing.

    `dataset`, validation or test, is what inconsistency is measured on, with `passes` noisy passes (0: not at all).
    """
    t = rebuild(trial, device)
    setup = t.setup
    content: dict[str, Any] = {
        "trial": trial.folder.name.removesuffix(f"-{trial.identity}"),
        "identity": trial.identity,
        "step": t.step,
        "epoch": t.step / setup.data.steps_per_epoch,
    }
    # The network has its initial weights, from which the meter measures distances.
    meter = GradientMeter(setup, settings)
    setup.network.load_state_dict(t.weights)
    if gradients:
        content |= meter.read(t.step).as_json()
    if passes and setup.task.classifies:
        content["inconsistency"] = _inconsistency(t, passes, dropout, dataset)
    content |= {
        "device": describe_device(setup.device),
        "versions": versions(),
        "made": time.strftime("%Y-%m-%dT%H:%M"),
    }
    with atomic_file(trial.folder / "analysis.json") as file:
        json.dump(content, file, indent=1)
    return content


def _inconsistency(t: RebuiltTrial, passes: int, dropout: float | None, dataset: str) -> dict[str, Any]:
    o, data, device = t.setup.options, t.setup.data, t.setup.device
    network, noise, r = t.setup.network, t.setup.noise, o.regularizer
    rates: dict[str, float] = {rate: getattr(r, rate) for rate in RATES}
    if dropout is not None or not noise.layers:
        rates = {"dropout": DROPOUT if dropout is None else dropout}
        network, noise = dropout_copy(o, rates["dropout"], data.spec, device)
        network.load_state_dict(t.weights)
    batches = data.validation() if dataset == "validation" else data.test()
    cast = autocast(o.precision, device)
    result = measure_inconsistency(
        network, noise, batches, device, cast, passes=passes, seed=o.seed, networks=num_networks(o)
    )
    return dataclasses.asdict(result) | {"set": dataset, "rates": rates}
