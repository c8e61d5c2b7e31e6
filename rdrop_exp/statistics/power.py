"""Power of the paired t test by the noncentral t distribution: what a number of seeds can detect."""

import math

from rdrop_exp.statistics.paired import t_quantile
from rdrop_exp.statistics.sequential import PLANNED

MOST_SEEDS = 10_000
"""Where a power would need more seeds than this, the difference counts as too small to detect."""
POWER = 0.8


def power(effect: float, n: int, level: float = PLANNED) -> float:
    """Chance that a two-sided paired t test of n seeds is significant; `effect` is mean over standard deviation.

    P(|T| > t₁₋ₗ/₂) for T noncentral t with n − 1 degrees and noncentrality effect · √n (Cohen 1988).
    """
    from scipy.special import nctdtr

    if n < 2:
        return 0.0
    bound, shift = t_quantile(1 - level / 2, n - 1), abs(effect) * math.sqrt(n)
    miss = float(nctdtr(n - 1, shift, bound))
    if math.isnan(miss):
        return 1.0  # so close to 0 that the series underflows
    opposite = float(nctdtr(n - 1, shift, -bound)) if shift < 3 else 0.0  # below 0.001 · level there, and may be NaN
    return 1 - miss + opposite


def seeds_needed(mean: float, sd: float | None, level: float = PLANNED, wanted: float = POWER) -> int | None:
    """The smallest number of seeds at which a true difference `mean` with this deviation is found with power `wanted`.

    A projection: it takes the observed mean and deviation for the true ones. None without a deviation or a difference,
    or beyond MOST_SEEDS.
    """
    if not sd or not mean or power(mean / sd, MOST_SEEDS, level) < wanted:
        return None
    low, high = 1, MOST_SEEDS  # power rises with n: bisect
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(mean / sd, middle, level) >= wanted else (middle, high)
    return high


def smallest_detectable(sd: float, n: int, level: float = PLANNED, wanted: float = POWER) -> float | None:
    """The smallest true difference that n seeds find with power `wanted`, in the unit of `sd`; None below two seeds."""
    if n < 2:
        return None
    low, high = 0.0, 1.0
    while power(high, n, level) < wanted:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, n, level) >= wanted else (middle, high)
    return high * sd
