"""The test set's share of the uncertainty: intervals for new seeds and new test items."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def item_reach(differences: "NDArray[np.floating]", level: float = 0.05) -> float:
    """What the choice of test items adds to an interval of the mean, as half a width; (seeds, items), paired on both.

    Seeds and items are crossed, so the variance of the mean is σ²ₛ/S + σ²ᵢ/I + σ²ₛᵢ/(SI). The seeds' interval has the
    first and the last term; this is z₁₋ₗ/₂ · σᵢ/√I with σ²ᵢ = (MSᵢ − MSₛᵢ)/S from the analysis of variance, what a
    two-way bootstrap (Owen 2007) estimates too, but without random numbers and without counting σ²ₛᵢ three times.
    """
    import numpy as np
    from scipy.special import ndtri

    seeds, items = differences.shape
    if seeds < 2 or items < 2:
        return 0.0
    values = differences.astype(np.float64)
    of_item, of_seed, mean = values.mean(axis=0), values.mean(axis=1), values.mean()
    between = seeds * np.square(of_item - mean).sum() / (items - 1)
    rest = np.square(values - of_item - of_seed[:, None] + mean).sum() / ((seeds - 1) * (items - 1))
    return float(ndtri(1 - level / 2)) * math.sqrt(max(0.0, between - rest) / (seeds * items))


def with_items(interval: tuple[float, float], reach: float) -> tuple[float, float]:
    """An interval over seeds, widened by `item_reach`: squared half widths add up (Graybill and Wang 1980)."""
    middle, half = (interval[0] + interval[1]) / 2, (interval[1] - interval[0]) / 2
    return middle - math.hypot(half, reach), middle + math.hypot(half, reach)
