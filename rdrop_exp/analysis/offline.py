"""One trial measured from its folder: gradients and inconsistency of its tested weights, into its analysis.json."""

import dataclasses
import json
import time
from typing import Any

from rdrop_exp.analysis import inconsistency
from rdrop_exp.analysis.measure import Meter, Settings
from rdrop_exp.analysis.rebuild import Built, noisy_twin, rebuild
from rdrop_exp.hardware import describe_device, versions
from rdrop_exp.report.collect import Trial
from rdrop_exp.runs.folder import atomic_file
from rdrop_exp.train.step import autocast

DROPOUT = 0.1
"""Rate at which a model without noise of its own is measured."""


def analyse(
    trial: Trial, settings: Settings, *, gradients: bool, passes: int, dropout: float | None, part: str, device: str
) -> dict[str, Any]:
    """What analysis.json holds of a trial, which is written; `OptionError` where its weights or data are not there."""
    built = rebuild(trial, device)
    found: dict[str, Any] = {
        "trial": trial.folder.name.removesuffix(f"-{trial.identity}"),
        "identity": trial.identity,
        "step": built.step,
        "epoch": built.step / built.data.steps_per_epoch,
    }
    # The network has its initial weights, from which the meter takes distances.
    meter = Meter(built.o, built.network, built.noise, built.data, built.device, settings)
    built.network.load_state_dict(built.weights)
    if gradients:
        found |= dataclasses.asdict(meter.at(built.step))
    if passes:
        found["inconsistency"] = _inconsistency(built, passes, dropout, part)
    found |= {"device": describe_device(built.device), "versions": versions(), "made": time.strftime("%Y-%m-%dT%H:%M")}
    with atomic_file(trial.folder / "analysis.json") as file:
        json.dump(found, file, indent=1)
    return found


def _inconsistency(built: Built, passes: int, dropout: float | None, part: str) -> dict[str, Any]:
    o, network, noise = built.o, built.network, built.noise
    r = o.regularizer
    rates: dict[str, float] = {"dropout": r.dropout, "drop_path": r.drop_path}
    if dropout is not None or not noise.layers:
        rates = {"dropout": DROPOUT if dropout is None else dropout}
        network, noise = noisy_twin(o, rates["dropout"], built.data.spec, built.device)
        network.load_state_dict(built.weights)
    batches = built.data.validation() if part == "validation" else built.data.test()
    cast = autocast(o.precision, built.device)
    networks = 2 if o.peer.name else 1
    measured = inconsistency.measure(
        network, noise, batches, built.device, cast, passes=passes, seed=o.seed, networks=networks
    )
    return dataclasses.asdict(measured) | {"set": part, "rates": rates}
