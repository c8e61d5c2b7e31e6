"""`analysis.every=N`: what the training loop calls every N steps. Training is unaffected."""

from collections.abc import Callable
from typing import Any

from torch import nn

from rdrop_exp.analysis.gradient_meter import GradientMeter, MeterSettings, flatten_estimates, preserve_state
from rdrop_exp.analysis.inconsistency import Inconsistency, measure_inconsistency
from rdrop_exp.analysis.rebuild import dropout_copy
from rdrop_exp.data.shard import whole
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.train.evaluate import Row
from rdrop_exp.train.setup import Setup
from rdrop_exp.train.step import autocast, num_networks


def make_analysis(setup: Setup) -> Callable[[int], Row]:
    """A function from the step (from 0) to a row of `analysis/…` metrics of the network at that time.

    Call this while the network has its initial weights: distances are measured from them. After each call the caller
    must seed the step's random numbers and set its rates again: both were used here.
    """
    o, network, noise, device = setup.options, setup.network, setup.noise, setup.device
    data = whole(setup.data)  # each of several ranks measures the same
    a = o.analysis
    meter = GradientMeter(setup, MeterSettings(batches=a.batches, augment=a.augment))
    with_dropout: tuple[nn.Module, InstalledNoise] | None = None

    def analyse(step: int) -> Row:
        nonlocal with_dropout
        row = meter.read(step).row()
        if a.passes < 2 or not setup.task.classifies:
            return row
        measured = network, noise
        if not noise.layers:
            with_dropout = with_dropout or dropout_copy(o, a.dropout, data.spec, device)
            with_dropout[0].load_state_dict(network.state_dict())
            measured = with_dropout
        cast: Any = autocast(o.precision, device)
        with preserve_state(network):
            inconsistency = measure_inconsistency(
                *measured, data.validation(), device, cast,
                passes=a.passes, seed=o.seed, networks=num_networks(o),
            )  # fmt: skip
        return row | as_row(inconsistency)

    return analyse


def as_row(i: Inconsistency) -> Row:
    """Flat, for metrics.jsonl and W&B."""
    row = flatten_estimates({"divergence": i.divergence, "inconsistency": i.inconsistency})
    row |= {"ece": i.ece, "ece_mc": i.ece_mc, "accuracy": i.accuracy, "accuracy_mc": i.accuracy_mc}
    return {f"analysis/{name}": value for name, value in row.items()}
