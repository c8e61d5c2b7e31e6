"""How often one setting beats another."""

from collections.abc import Sequence

FEWEST_SEEDS = 10
"""Below this many seeds the interval says next to nothing."""


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
