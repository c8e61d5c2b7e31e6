"""`analysis.every=N`: what the training loop calls every N steps. Training goes on as if it had not."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from rdrop_exp.analysis import inconsistency
from rdrop_exp.analysis.inconsistency import Inconsistency
from rdrop_exp.analysis.measure import Meter, Settings, spread, undisturbed
from rdrop_exp.analysis.rebuild import noisy_twin
from rdrop_exp.config.options import Options
from rdrop_exp.data.batch import Data
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.train.evaluate import Row
from rdrop_exp.train.step import autocast


def make_analysis(
    o: Options, network: nn.Module, noise: InstalledNoise, data: Data, device: torch.device
) -> Callable[[int], Row]:
    """A function from the step (from 0) to rows of `analysis/…` metrics of the network as it then is.

    To be made while the network has its initial weights, from which distances are taken. The step's random numbers are
    the caller's to seed, and its rates to set, afterwards: both were used here.
    """
    a = o.analysis
    meter = Meter(o, network, noise, data, device, Settings(batches=a.batches, augment=a.augment))
    twin: tuple[nn.Module, InstalledNoise] | None = None

    def analyse(step: int) -> Row:
        nonlocal twin
        row = meter.at(step).row()
        if a.passes < 2:
            return row
        noisy = network, noise
        if not noise.layers:
            twin = twin or noisy_twin(o, a.dropout, data.spec, device)
            twin[0].load_state_dict(network.state_dict())
            noisy = twin
        cast: Any = autocast(o.precision, device)
        with undisturbed(network):
            found = inconsistency.measure(
                *noisy, data.validation(), device, cast,
                passes=a.passes, seed=o.seed, networks=2 if o.peer.name else 1,
            )  # fmt: skip
        return row | as_row(found)

    return analyse


def as_row(found: Inconsistency) -> Row:
    """Flat, for metrics.jsonl and W&B."""
    row = spread({"divergence": found.divergence, "inconsistency": found.inconsistency})
    row |= {"ece": found.ece, "ece_mc": found.ece_mc, "accuracy": found.accuracy, "accuracy_mc": found.accuracy_mc}
    return {f"analysis/{name}": value for name, value in row.items()}
