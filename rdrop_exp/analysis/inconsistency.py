"""Does dropout matter here? How much outputs move when it is on, and how well confidence matches accuracy.

R-Drop (arXiv 2106.14448) starts from the inconsistency of dropout: training sees sub-models, testing the whole model.
Measured here on any network with noise installed, in eval mode but for the noise:

    divergence      mean symmetric KL, ½ [KL(p‖q) + KL(q‖p)], between two noisy passes of the same input
    inconsistency   the same between a noisy pass and the clean one
    accuracy, ece   of the clean pass, and of the probabilities averaged over the noisy ones (Monte-Carlo dropout, Gal
                    and Ghahramani 2016)

ECE is the expected calibration error of Naeini et al. 2015: Σ_b (n_b / n) |accuracy_b − confidence_b| over 15 bins of
equal width of the highest probability. It is never negative: on few items a calibrated model has some too.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from rdrop_exp.analysis.gradients import Estimate
from rdrop_exp.data.batch import Batch
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.report.statistics import t_quantile
from rdrop_exp.seeds import derive_seed
from rdrop_exp.train.losses import kl
from rdrop_exp.train.step import seed_noise

BINS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Inconsistency:
    """Intervals are over items, of these weights; `gain` is Monte-Carlo accuracy minus clean, item by item."""

    items: int
    passes: int
    divergence: Estimate
    inconsistency: Estimate
    accuracy: float
    accuracy_mc: float
    gain: Estimate
    ece: float
    ece_mc: float


@torch.no_grad()
def measure(
    network: nn.Module,
    noise: InstalledNoise,
    batches: Iterable[Batch],
    device: torch.device,
    cast: Callable[[], AbstractContextManager[Any]],
    *,
    passes: int,
    seed: int,
    networks: int = 1,
) -> Inconsistency:
    """Of `network` on all items of `batches` at the noise's full rates; of two networks (peers) the first is measured.

    Leaves the network in eval mode with its noise off.
    """
    network.eval()
    for module in noise.layers:
        module.train()
    between, towards, clean, mixed, labels = [], [], [], [], []
    for i, batch in enumerate(batches):
        outputs = []
        for number in range(passes + 1):  # the first is clean
            noise.set_rates(1.0 if number else 0.0)
            seed_noise(device, derive_seed(seed, "inconsistency", i, number))
            with cast():
                logits = network(batch.inputs).chunk(networks)[0]
            outputs.append(selected(logits.float().flatten(0, -2), batch))
        still, *noisy = outputs
        between.append(torch.stack([kl(a, b) for a, b in combinations(noisy, 2)]).mean(0))
        towards.append(torch.stack([kl(a, still) for a in noisy]).mean(0))
        clean.append(still.softmax(-1))
        mixed.append(torch.stack([a.softmax(-1) for a in noisy]).mean(0))
        labels.append(selected(batch.targets.flatten(), batch))
    noise.set_rates(0.0)
    network.eval()
    targets, p, q = torch.cat(labels), torch.cat(clean), torch.cat(mixed)
    right, right_mc = (probabilities.argmax(-1) == targets for probabilities in (p, q))
    return Inconsistency(
        items=len(targets),
        passes=passes,
        divergence=over_items(torch.cat(between)),
        inconsistency=over_items(torch.cat(towards)),
        accuracy=right.float().mean().item(),
        accuracy_mc=right_mc.float().mean().item(),
        gain=over_items(right_mc.float() - right.float()),
        ece=calibration_error(p, targets),
        ece_mc=calibration_error(q, targets),
    )


def selected(values: Tensor, batch: Batch) -> Tensor:
    """Those of the batch's items that count: (items, …) → (some items, …)."""
    return values if batch.mask is None else values[batch.mask.flatten()]


def calibration_error(probabilities: Tensor, targets: Tensor, bins: int = BINS) -> float:
    """ECE of (items, classes) probabilities and (items,) classes, in 0..1; bins hold their upper edge."""
    confidence, guess = (values.cpu() for values in probabilities.max(-1))
    number = (confidence.double() * bins).ceil().clamp(1, bins).long() - 1
    difference = (guess == targets.cpu()).double() - confidence.double()
    return torch.zeros(bins, dtype=torch.float64).index_add_(0, number, difference).abs().sum().item() / len(targets)


def over_items(values: Tensor) -> Estimate:
    """Mean of (items,) values, with its t interval."""
    count, mean = len(values), values.mean().item()
    sd = values.std().item() if count > 1 else 0.0
    if not sd:
        return Estimate(mean)
    reach = t_quantile(0.975, count - 1) * sd / math.sqrt(count)
    return Estimate(mean, mean - reach, mean + reach)
