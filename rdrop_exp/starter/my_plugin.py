"""What my experiments add to rdrop-exp. Each part is a function and an entry in a table; remove what you do not need.

Loaded by `plugins: [my_plugin]` (as conf/experiment/mine.yaml has it), before the options are checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.registry import DATA_SETS
from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.config.schedules import RATE_SCHEDULES
from rdrop_exp.train.divergences import DIVERGENCES

if TYPE_CHECKING:  # torch is slow to import, and not needed to plan a sweep
    from torch import Tensor


def triangle(r: Regularizer, t: int, cutoff: int, total: int) -> float:
    """A schedule: the share of the full rate, 0 to 1, at step t of total. It rises until the cutoff, then falls."""
    return min(t / max(cutoff, 1), max(total - t, 0) / max(total - cutoff, 1))


def total_variation(a: Tensor, b: Tensor, fixed: bool = False) -> Tensor:
    """A divergence: the logits of two passes, (items, classes) each → (items,); symmetric.

    `fixed` (regularizer.stop_gradient): each pass is a constant target of the other.
    """
    p, q = a.softmax(-1), b.softmax(-1)
    if fixed:
        return 0.25 * ((p.detach() - q).abs() + (p - q.detach()).abs()).sum(-1)
    return 0.5 * (p - q).abs().sum(-1)


def stripes(dataset: Dataset) -> tuple[dict[str, Any], list[str]]:
    """A data set: set → (images, labels), and the names of the classes.

    Images are uint8 (items, 1 or 3 channels, height, width); labels are whole numbers. Sets that are not given
    ("validation", "test") are split off "train". Files of your own belong in `dataset.root`.
    """
    import numpy as np

    draw = np.random.default_rng(0)
    labels = np.arange(400) % 2
    images = draw.integers(0, 128, (400, 1, 8, 8), np.uint8)
    images[labels == 0, :, ::2] += 100  # horizontal stripes
    images[labels == 1, :, :, ::2] += 100  # vertical ones
    return {"train": (images, labels)}, ["horizontal", "vertical"]


RATE_SCHEDULES["triangle"] = triangle  # regularizer.when=triangle
DIVERGENCES["total_variation"] = total_variation  # regularizer.divergence=total_variation
DATA_SETS["stripes"] = stripes  # dataset.name=stripes
