"""Does dropout matter here? How far outputs move when it is on, and how well confidence matches accuracy.

R-Drop (arXiv 2106.14448) starts from the inconsistency of dropout: training sees sub-models, testing the whole model.
It is measured here on any network with noise installed, in eval mode except for the noise:

    divergence      mean symmetric KL, ½ [KL(p‖q) + KL(q‖p)], between two noisy passes of the same input
    inconsistency   the same between a noisy pass and the clean one
    accuracy, ece   of the clean pass, and of the mean of the noisy passes' probabilities (Monte-Carlo dropout, Gal and
                    Ghahramani 2016)

ECE is the expected calibration error of Naeini et al. 2015: Σ_b (n_b / n) |accuracy_b − confidence_b| over 15 bins of
equal width of the highest probability. It is biased upwards: a calibrated model scores above 0 on few items.
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
from rdrop_exp.seeds import derive_seed
from rdrop_exp.statistics.paired import t_quantile
from rdrop_exp.train.divergences import kl
from rdrop_exp.train.step import seed_noise

BINS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Inconsistency:
    """Intervals are over items, of these weights; `gain` is Monte-Carlo accuracy minus clean accuracy, per item."""

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
def measure_inconsistency(
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
    """Of `network` on all items of `batches` at the noise's full rates; with peers (`networks=2`) of the first one.

    Leaves the network in eval mode with its noise off.
    """
    network.eval()
    for module in noise.layers:
        module.train()
    noisy_noisy_kl, noisy_clean_kl, clean_probabilities, mean_probabilities, labels = [], [], [], [], []
    for i, batch in enumerate(batches):
        outputs = []
        for number in range(passes + 1):  # the first is clean
            noise.set_rates(1.0 if number else 0.0)
            seed_noise(device, derive_seed(seed, "inconsistency", i, number))
            with cast():
                logits = network(batch.inputs).chunk(networks)[0]
            outputs.append(unmasked(logits.float().flatten(0, -2), batch))
        clean, *noisy = outputs
        noisy_noisy_kl.append(torch.stack([kl(a, b) for a, b in combinations(noisy, 2)]).mean(0))
        noisy_clean_kl.append(torch.stack([kl(a, clean) for a in noisy]).mean(0))
        clean_probabilities.append(clean.softmax(-1))
        mean_probabilities.append(torch.stack([a.softmax(-1) for a in noisy]).mean(0))
        labels.append(unmasked(batch.targets.flatten(), batch))
    noise.set_rates(0.0)
    network.eval()
    targets, p, p_mc = torch.cat(labels), torch.cat(clean_probabilities), torch.cat(mean_probabilities)
    correct, correct_mc = (probabilities.argmax(-1) == targets for probabilities in (p, p_mc))
    return Inconsistency(
        items=len(targets),
        passes=passes,
        divergence=over_items(torch.cat(noisy_noisy_kl)),
        inconsistency=over_items(torch.cat(noisy_clean_kl)),
        accuracy=correct.float().mean().item(),
        accuracy_mc=correct_mc.float().mean().item(),
        gain=over_items(correct_mc.float() - correct.float()),
        ece=calibration_error(p, targets),
        ece_mc=calibration_error(p_mc, targets),
    )


def unmasked(values: Tensor, batch: Batch) -> Tensor:
    """The batch's items that the mask selects: (items, …) → (selected items, …)."""
    return values if batch.mask is None else values[batch.mask.flatten()]


def calibration_error(probabilities: Tensor, targets: Tensor, bins: int = BINS) -> float:
    """ECE of (items, classes) probabilities and (items,) classes, in 0..1; each bin includes its upper edge."""
    confidence, prediction = (values.cpu() for values in probabilities.max(-1))
    number = (confidence.double() * bins).ceil().clamp(1, bins).long() - 1
    difference = (prediction == targets.cpu()).double() - confidence.double()
    return torch.zeros(bins, dtype=torch.float64).index_add_(0, number, difference).abs().sum().item() / len(targets)


def over_items(values: Tensor) -> Estimate:
    """Mean of (items,) values, with its t interval."""
    count, mean = len(values), values.mean().item()
    sd = values.std().item() if count > 1 else 0.0
    if not sd:
        return Estimate(mean)
    margin = t_quantile(0.975, count - 1) * sd / math.sqrt(count)
    return Estimate(mean, mean - margin, mean + margin)
