"""Statistics of paired differences over seeds; each function names its method and where it comes from.

Differences are (setting − baseline) of one measure, one number a seed that both have. `level` is the allowed chance of
a false alarm (0.05 for a 95 % interval). The intervals cover variation between seeds on the same test set.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXACT_UP_TO = 15
"""Sign-flip tests enumerate all 2ⁿ patterns up to this many differences, and draw patterns at random beyond."""


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n − 1 in the denominator); the deviation of a single value is None."""
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return mean, None
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    largest = max(abs(v) for v in values)
    return mean, sd if sd > 1e-12 * largest else 0.0  # equal values differ in their last bit


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit  # scipy.stats takes three times as long to import

    return float(stdtrit(degrees, probability))


def t_interval(differences: Sequence[float], level: float = 0.05) -> tuple[float, float] | None:
    """Paired t interval of the mean difference (Student 1908): d̄ ± t₁₋ₗ/₂,ₙ₋₁ · s/√n.

    None below two differences, or where all are equal: without spread there is nothing to measure the mean against.
    """
    if len(differences) < 2:
        return None
    mean, sd = mean_sd(differences)
    if not sd:
        return None
    reach = t_quantile(1 - level / 2, len(differences) - 1) * sd / math.sqrt(len(differences))
    return mean - reach, mean + reach


def t_p_value(differences: Sequence[float]) -> float | None:
    """Two-sided paired t test of a mean difference of zero (Student 1908); None where `t_interval` is."""
    if len(differences) < 2:
        return None
    mean, sd = mean_sd(differences)
    if not sd:
        return None
    from scipy.special import stdtr

    return float(2 * stdtr(len(differences) - 1, -abs(mean) / (sd / math.sqrt(len(differences)))))


def sign_flip_p_value(differences: Sequence[float]) -> float:
    """Two-sided sign-flip permutation test of the mean (Fisher 1935): no assumption but symmetry about zero.

    Exact up to EXACT_UP_TO differences; beyond, 2¹⁵ random patterns with the observed one counted among them (Phipson
    and Smyth 2010). It cannot fall below 2/2ⁿ: 0.25 with 3 seeds, 0.0625 with 5, 0.031 with 6.
    """
    import numpy as np

    values = np.asarray(differences, dtype=float)
    means = np.abs(_signs(len(values)) @ values)
    as_large = means >= abs(values.sum()) - 1e-9 * np.abs(values).sum()
    return float(np.mean(as_large))


def sign_flip_interval(differences: Sequence[float], level: float = 0.05) -> tuple[float, float] | None:
    """The shifts that the sign-flip test does not reject, from the means of all subsets (Hartigan 1969).

    The 2ⁿ − 1 subset means cut the line into 2ⁿ equally likely pieces, so the k-th from either end bounds an interval
    of error 2k/2ⁿ. None where even k = 1 is too much: below six differences there is no such interval at 95 %.
    """
    import numpy as np

    n = len(differences)
    values = np.asarray(differences, dtype=float)
    chosen = (_signs(n) + 1) / 2
    chosen = chosen[chosen.sum(axis=1) > 0]
    means = np.sort(chosen @ values / chosen.sum(axis=1))
    k = math.floor(level * (len(means) + 1) / 2 + 1e-9)
    return (float(means[k - 1]), float(means[-k])) if k >= 1 else None


@lru_cache(maxsize=8)
def _signs(n: int) -> "NDArray[np.float64]":
    """Patterns of ±1, (patterns, n): all 2ⁿ, or 2¹⁵ of them with the all-plus one among them."""
    import numpy as np

    if n <= EXACT_UP_TO:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        bits = np.random.default_rng(0).integers(0, 2, size=(2**EXACT_UP_TO, n))
        bits[0] = 1
    return np.asarray(bits * 2.0 - 1.0, dtype=np.float64)


def effect_size(differences: Sequence[float]) -> float | None:
    """Cohen's d_z, mean over standard deviation of the differences, with Hedges' small-sample correction (Hedges 1981).

    The exact factor Γ(f/2) / (√(f/2) Γ((f−1)/2)), f = n − 1; None below three differences, where the factor is zero.
    """
    n = len(differences)
    if n < 3:
        return None
    mean, sd = mean_sd(differences)
    if not sd:
        return None
    half = (n - 1) / 2
    return mean / sd * math.exp(math.lgamma(half) - math.lgamma(half - 0.5)) / math.sqrt(half)
