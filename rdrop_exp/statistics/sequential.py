"""Intervals that stay valid however often one looks, and the fixed interval at the planned number of seeds.

A group's number of seeds is planned beforehand. At exactly that number the t interval is used, at level PLANNED; at any
other number, fewer or more, an anytime-valid one at level OTHERWISE. The two levels sum to 5 %, so by the union bound
at most 5 % of comparisons give a false alarm, whenever one looks and whatever makes one stop.
"""

import math
from collections.abc import Sequence

from rdrop_exp.statistics.paired import mean_sd, t_interval, t_p_value

LEVEL = 0.05
"""Allowed chance of a false alarm over all looks."""
PLANNED = 0.045
"""Its part for the one look at the planned number of seeds."""
OTHERWISE = 0.005
"""Its part for all other looks together."""
PRIOR_VARIANCE = 10.0
"""Variance g of the normal prior on the standardised effect (mean over standard deviation).

Chosen by width. At level 0.005 the interval is finite from 4 seeds on, and its width is 3.7, 2.7, 2.6, 2.4 and 2.3
times that of a fixed 95 % interval at n = 5, 8, 10, 15, 20: within 8 % of the best g for each of these n. A smaller g
is finite too late (g = 1: 7 seeds), a larger one is wider from 10 seeds on. With 7 comparisons, at level 0.005/7, it is
finite from 5 seeds on, with 15 from 6.
"""


def anytime_interval(differences: Sequence[float], level: float = OTHERWISE) -> tuple[float, float] | None:
    """Interval of the mean that holds at all numbers of seeds at once with chance 1 − level (Wang and Ramdas 2023).

    The shifts whose Bayes factor (`_log_bayes_factor`) is below 1/level. None where that is the whole line, because n
    is too small for the level, or where all differences are equal.
    """
    n = len(differences)
    if n < 2:
        return None
    mean, sd = mean_sd(differences)
    inflation = 1 + n * PRIOR_VARIANCE
    log_bound = 2 / n * (0.5 * math.log(inflation) - math.log(level))
    if not sd or log_bound >= math.log(inflation):
        return None
    bound = math.exp(log_bound)
    t = math.sqrt((n - 1) * (bound - 1) / (1 - bound / inflation))
    reach = t * sd / math.sqrt(n)
    return mean - reach, mean + reach


def anytime_p_value(differences: Sequence[float]) -> float | None:
    """Two-sided p-value of a mean of zero, valid at any number of seeds: 1 / Bayes factor, at most 1.

    Below `level` exactly where `anytime_interval` excludes zero. None below two differences or where all are equal.
    """
    n = len(differences)
    if n < 2:
        return None
    mean, sd = mean_sd(differences)
    return math.exp(-max(0.0, _log_bayes_factor(mean / sd * math.sqrt(n), n))) if sd else None


def _log_bayes_factor(t: float, n: int) -> float:
    """Bayes factor of the t statistic under effect ~ N(0, g) over no effect; right Haar prior on the scale.

    (1 + ng)^(−1/2) · [(1 + t²/ν) / (1 + t²/(ν(1 + ng)))]^((ν + 1)/2), ν = n − 1 (Gönen et al. 2005). A test martingale
    (Wang and Ramdas 2023), so that by Ville's inequality it ever reaches 1/level with chance at most `level`.
    """
    inflation = 1 + n * PRIOR_VARIANCE
    square = t * t / (n - 1)
    return n / 2 * (math.log1p(square) - math.log1p(square / inflation)) - 0.5 * math.log(inflation)


def at_plan(seeds: int, planned: int | None) -> bool:
    """Whether the fixed interval is due: with no plan known, any number of seeds counts as planned."""
    return planned is None or seeds == planned


def interval_at(
    differences: Sequence[float], planned: int | None = None, share: float = 1.0
) -> tuple[float, float] | None:
    """The t interval at the planned number of seeds, the anytime-valid one at any other.

    `share` is this comparison's part of the level, such as 1/3 for one of three; None where there is no interval.
    """
    if at_plan(len(differences), planned):
        return t_interval(differences, PLANNED * share)
    return anytime_interval(differences, OTHERWISE * share)


def p_value_at(differences: Sequence[float], planned: int | None = None, share: float = 1.0) -> float | None:
    """p-value that goes with `interval_at`: below 0.05 exactly where that interval excludes zero.

    Weighted Bonferroni (Holm 1979): p times LEVEL over the level of this look. None where there is no test.
    """
    if at_plan(len(differences), planned):
        p, level = t_p_value(differences), PLANNED * share
    else:
        p, level = anytime_p_value(differences), OTHERWISE * share
    return None if p is None else min(1.0, p * LEVEL / level)
