"""Many groups compared with one baseline on paired seeds: intervals and p-values that hold together.

Single-step max-t on the scale of p-values (Dunnett 1955; Westfall and Young 1993): each one is tested at level/m.
m is chosen so that the chance that any of them gives a false alarm is at most the level. The correlation that a shared
baseline causes lowers m below the number of comparisons. An interval excludes zero exactly where the adjusted p-value
is below 0.05.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rdrop_exp.statistics.paired import mean_sd
from rdrop_exp.statistics.sequential import PLANNED, at_plan, interval_at, p_value_at

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_SIMULATED = 64
"""Beyond this many comparisons they count as independent (Šidák 1967)."""
DRAWS = 8000
MOST_NUMBERS = 2_500_000
"""Normal numbers per simulation, which bounds its time to about 50 ms."""

Differences = Mapping[Any, float]
"""(setting − baseline) by pairing key, such as (seed, split seed)."""


@dataclass(frozen=True, slots=True)
class Judged:
    interval: tuple[float, float] | None
    """Simultaneous interval of the mean difference; None where there is no test."""
    p: float | None
    """Adjusted for the number of comparisons and for looking more than once: compare with 0.05."""
    share: float
    """This comparison's part of the level, after correction."""
    interim: bool
    """Fewer seeds than planned."""


def compare_together(
    differences: Sequence[Differences], planned: Sequence[int | None] | None = None, share: float = 1.0
) -> list[Judged]:
    """Interval and p-value of each comparison, with at most 5 % · `share` false alarms over all of them and all looks.

    `differences` holds every comparison of the family, also those with few seeds or none: they will be tested later.
    `planned` gives the planned number of seeds of each; None: the present number counts as planned.
    """
    plans = planned if planned is not None else [None] * len(differences)
    fixed = share / effective_comparisons(differences, PLANNED * share)
    other = share / max(1, len(differences))
    tests = []
    for each, plan in zip(differences, plans, strict=True):
        values, n = list(each.values()), len(each)
        part = fixed if at_plan(n, plan) else other
        interval, p = interval_at(values, plan, part), p_value_at(values, plan, part)
        tests.append(Judged(interval, p, part, interim=plan is not None and n < plan))
    return tests


def effective_comparisons(differences: Sequence[Differences], level: float = PLANNED) -> float:
    """The m for which tests at level/m give any false alarm with chance `level`: 1 to the number of comparisons.

    Solved by simulating normal differences with the same seeds and the estimated correlation. Independent comparisons,
    whose chance is known in closed form, are simulated with the same numbers, and only the change from them is used;
    m is never above theirs. Equal differences (no spread, so no test) do not count; a comparison of fewer than two
    seeds counts as independent.
    """
    import numpy as np
    from scipy.special import stdtrit

    counted = [each for each in differences if len(each) < 2 or mean_sd(list(each.values()))[1]]
    k = len(counted)
    if k < 2:
        return 1.0
    independent: float = 1 - (1 - level) ** (1 / k)
    present, correlation = _seeds_and_correlation(counted)
    n = len(present)
    draws = min(DRAWS, MOST_NUMBERS // (n * k))
    if k > MOST_SIMULATED or draws < DRAWS // 16 or not np.triu(correlation, 1).any():
        return float(level / independent)
    root = np.linalg.cholesky(correlation).T.astype(np.float32)  # positive definite, because shrunk
    normal = np.random.default_rng(0).standard_normal((draws, n, k), dtype=np.float32)
    t_independent, t_correlated = _t(normal, present), _t(normal @ root, present)
    low, high = independent, level
    for _ in range(16):
        middle = (low + high) / 2
        bound = stdtrit(present.sum(axis=0) - 1, 1 - middle / 2)
        change = np.mean((t_correlated > bound).any(axis=1)) - np.mean((t_independent > bound).any(axis=1))
        low, high = (middle, high) if 1 - (1 - middle) ** k + change <= level else (low, middle)
    return float(level / low)


def _seeds_and_correlation(
    differences: Sequence[Differences],
) -> tuple["NDArray[np.bool_]", "NDArray[np.float64]"]:
    """Which seeds each comparison has, (seeds, comparisons), and a shrunken correlation, (comparisons, comparisons).

    Correlations are taken over the seeds that two comparisons share, and multiplied by one factor (Schäfer and Strimmer
    2005): the share of their mean square that exceeds what uncorrelated differences show by chance. It is near 0 for
    three seeds and independent groups, so that few seeds cannot feign a correlation. Shrinking is conservative: the
    chance of any false alarm falls as correlations rise (Šidák 1968).
    """
    import numpy as np

    keys: dict[Hashable, int] = {}
    for each in differences:
        for key in each:
            keys.setdefault(key, len(keys))
    seeds = max(2, len(keys))
    present = np.zeros((seeds, len(differences)), dtype=bool)
    centred = np.zeros((seeds, len(differences)))
    for i, each in enumerate(differences):
        if len(each) < 2:
            present[:, i] = True
            continue
        rows = [keys[key] for key in each]
        values = np.fromiter(each.values(), dtype=float)
        values -= values.mean()
        present[rows, i] = True
        centred[rows, i] = values / np.linalg.norm(values)
    correlation = centred.T @ centred
    np.fill_diagonal(correlation, 0.0)
    chance = 1 / np.sqrt(present.sum(axis=0) - 1)
    expected, observed = chance.sum() ** 2 - (chance**2).sum(), (correlation**2).sum()
    kept = max(0.0, 1 - expected / observed) if observed else 0.0
    return present, kept * correlation + np.eye(len(differences))


def _t(draws: "NDArray[np.float32]", present: "NDArray[np.bool_]") -> "NDArray[np.float32]":
    """|t| of each comparison over its own seeds, (draws, comparisons), from (draws, seeds, comparisons)."""
    import numpy as np

    n = present.sum(axis=0, dtype=np.float32)
    if not present.all():
        draws = draws * present
    total, squares = draws.sum(axis=1), np.einsum("dsk,dsk->dk", draws, draws)
    rest = np.maximum(squares - total**2 / n, np.float32(1e-12))
    return np.asarray(np.abs(total) / np.sqrt(n * rest / (n - 1)))
