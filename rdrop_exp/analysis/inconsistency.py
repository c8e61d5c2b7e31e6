"""Does dropout matter here? How far outputs move when it is on, and how well confidence matches accuracy.

R-Drop (arXiv 2106.14448) starts from the inconsistency of dropout: training sees sub-models, testing the whole model.
It is measured here on any network with noise installed, in eval mode except for the noise:

    divergence      mean symmetric KL, ½ [KL(p‖q) + KL(q‖p)], between two noisy passes of the same input
    inconsistency   the same between a noisy pass and the clean one
    accuracy, ece   of the clean pass, and of the mean of the noisy passes' probabilities (`train.monte_carlo`)
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
from rdrop_exp.statistics.paired import t_quantile
from rdrop_exp.train.divergences import kl
from rdrop_exp.train.monte_carlo import calibration_error, noisy_passes


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
    noisy_noisy_kl, noisy_clean_kl, clean_probabilities, mean_probabilities, labels = [], [], [], [], []
    for classes, clean, noisy in noisy_passes(
        network, noise, batches, device, cast, passes, seed=seed, networks=networks
    ):
        noisy_noisy_kl.append(torch.stack([kl(a, b) for a, b in combinations(noisy, 2)]).mean(0))
        noisy_clean_kl.append(torch.stack([kl(a, clean) for a in noisy]).mean(0))
        clean_probabilities.append(clean.softmax(-1))
        mean_probabilities.append(torch.stack([a.softmax(-1) for a in noisy]).mean(0))
        labels.append(classes)
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


def over_items(values: Tensor) -> Estimate:
    """Mean of (items,) values, with its t interval."""
    count, mean = len(values), values.mean().item()
    sd = values.std().item() if count > 1 else 0.0
    if not sd:
        return Estimate(mean)
    margin = t_quantile(0.975, count - 1) * sd / math.sqrt(count)
    return Estimate(mean, mean - margin, mean + margin)
