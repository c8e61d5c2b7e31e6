"""Noisy passes over a whole set: the mean of their predictions (Monte-Carlo dropout), and calibration.

Monte-Carlo dropout: Gal and Ghahramani 2016 (arXiv 1506.02142). ECE is the expected calibration error of Naeini et al.
2015: Σ_b (n_b / n) |accuracy_b − confidence_b| over 15 bins of equal width of the highest probability. It is biased
upwards: a calibrated model scores above 0 on few items.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from rdrop_exp.data.batch import Batch
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.seeds import derive_seed
from rdrop_exp.tasks.losses import cross_entropy
from rdrop_exp.train.evaluate import Row
from rdrop_exp.train.parallel import ALONE, World
from rdrop_exp.train.step import seed_noise

BINS = 15


@torch.no_grad()
def noisy_passes(
    network: nn.Module,
    noise: InstalledNoise,
    batches: Iterable[Batch],
    device: torch.device,
    cast: Callable[[], AbstractContextManager[Any]],
    passes: int,
    *,
    seed: int,
    networks: int = 1,
) -> Iterator[tuple[Tensor, Tensor, list[Tensor]]]:
    """Of each batch the classes (items,), the clean logits (items, classes) and those of `passes` at the full rates.

    Items are those of the mask; with peers (`networks=2`) the logits are the first one's. Eval mode except for the
    noise. Leaves the network in eval mode with its noise off.
    """
    network.eval()
    for module in noise.layers:
        module.train()
    for i, batch in enumerate(batches):
        outputs = []
        for number in range(passes + 1):  # the first is clean
            noise.set_rates(1.0 if number else 0.0)
            seed_noise(device, derive_seed(seed, "inconsistency", i, number))
            with cast():
                logits = network(batch.inputs).chunk(networks)[0]
            outputs.append(unmasked(logits.float().flatten(0, -2), batch))
        yield unmasked(batch.targets.flatten(), batch), outputs[0], outputs[1:]
    noise.set_rates(0.0)
    network.eval()


def unmasked(values: Tensor, batch: Batch) -> Tensor:
    """The batch's items that the mask selects: (items, …) → (selected items, …)."""
    return values if batch.mask is None else values[batch.mask.flatten()]


def monte_carlo(
    network: nn.Module,
    noise: InstalledNoise,
    batches: Iterable[Batch],
    device: torch.device,
    cast: Callable[[], AbstractContextManager[Any]],
    passes: int,
    *,
    seed: int,
    networks: int = 1,
    world: World = ALONE,
) -> Row:
    """`test/ece` of the clean prediction; with noise also accuracy, loss and ECE of the mean of noisy softmaxes."""
    passes = passes if noise.layers else 0
    clean, means, losses, classes = [], [], [], []
    for targets, logits, noisy in noisy_passes(
        network, noise, batches, device, cast, passes, seed=seed, networks=networks
    ):
        classes.append(targets)
        clean.append(logits.softmax(-1))
        if noisy:
            means.append(torch.stack([x.softmax(-1) for x in noisy]).mean(0))
            each = torch.stack([cross_entropy(x, targets) for x in noisy])
            losses.append(math.log(passes) - (-each).logsumexp(0))  # as a logarithm, since a mean may underflow to 0

    def all_of(parts: list[Tensor]) -> Tensor:
        values = torch.cat(parts)
        return values if world.size == 1 else world.interleaved(values)  # type: ignore[no-any-return]

    targets = all_of(classes)
    row = {"test/ece": calibration_error(all_of(clean), targets)}
    if passes:
        p = all_of(means)
        row["test/accuracy_mc"] = (p.argmax(-1) == targets).float().mean().item()
        row["test/loss_mc"] = all_of(losses).mean().item()
        row["test/ece_mc"] = calibration_error(p, targets)
    return row


def calibration_error(probabilities: Tensor, targets: Tensor, bins: int = BINS) -> float:
    """ECE of (items, classes) probabilities and (items,) classes, in 0..1; each bin includes its upper edge."""
    confidence, prediction = (values.cpu() for values in probabilities.max(-1))
    number = (confidence.double() * bins).ceil().clamp(1, bins).long() - 1
    difference = (prediction == targets.cpu()).double() - confidence.double()
    return torch.zeros(bins, dtype=torch.float64).index_add_(0, number, difference).abs().sum().item() / len(targets)
