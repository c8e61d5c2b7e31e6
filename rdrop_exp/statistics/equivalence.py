"""Whether a difference is too small to matter, and how often one setting beats another."""

from collections.abc import Sequence

from rdrop_exp.statistics.sequential import interval_at

FEWEST_SEEDS = 10
"""Below this many seeds the interval says next to nothing."""


def equivalent(
    differences: Sequence[float], smallest: float, planned: int | None = None, share: float = 1.0
) -> bool | None:
    """Whether the mean difference is shown to lie within ±`smallest`, by two one-sided t tests (Schuirmann 1987).

    Both reject exactly where the interval of twice the level lies inside; `planned` and `share` as in `interval_at`.
    False means not shown, not that there is a difference. None where there is no interval.
    """
    interval = interval_at(differences, planned, 2 * share)
    return None if interval is None else -smallest < interval[0] and interval[1] < smallest


def probability_better(
    differences: Sequence[float], higher_is_better: bool = True, level: float = 0.05
) -> tuple[float, float, float] | None:
    """Chance that a setting beats its baseline on a new seed (Bouthillier et al. 2021), and its interval.

    The share of seeds on which it does, ties as halves, with the exact binomial interval (Clopper and Pearson 1934).
    None below FEWEST_SEEDS.
    """
    from scipy.special import betaincinv

    n = len(differences)
    if n < FEWEST_SEEDS:
        return None
    wins = sum(0.5 if d == 0 else (d > 0) == higher_is_better for d in differences)
    low = float(betaincinv(wins, n - wins + 1, level / 2)) if wins else 0.0
    high = float(betaincinv(wins + 1, n - wins, 1 - level / 2)) if wins < n else 1.0
    return wins / n, low, high
