"""Verdicts: the differences of one family are tested together, so that no interval contradicts its verdict.

At most 5 % of families contain a false alarm, however often one looks: see `rdrop_exp.statistics.sequential`.
"""

from rdrop_exp.report.comparison import Comparison, Difference, Verdict
from rdrop_exp.statistics import paired
from rdrop_exp.statistics.equivalence import probability_better
from rdrop_exp.statistics.power import POWER, seeds_needed
from rdrop_exp.statistics.sequential import OTHERWISE, PLANNED, at_plan
from rdrop_exp.statistics.simultaneous import compare_together

LEVEL = 0.05


def judge(family: list[Comparison], smallest: float | None = None, power: float = POWER) -> None:
    """Set intervals, p-values, verdicts and projections of all differences in the family."""
    judged = [(i, row.difference, c.metric) for i, c in enumerate(family) for row in c.rows if row.difference]
    # Settings share no trial: their differences are independent, although seeds have the same names.
    values = [{(i, key): value for key, value in d.values.items()} for i, d, _ in judged]
    tests = compare_together(values, [difference.planned for _, difference, _ in judged])
    for comparison in family:
        comparison.power = power
    for (_, difference, metric), test in zip(judged, tests, strict=True):
        difference.interval, difference.p_adjusted = test.interval, test.p
        difference.level = test.share * (PLANNED if at_plan(len(difference.values), difference.planned) else OTHERWISE)
        _describe(difference, metric.higher_is_better)
        difference.verdict = _verdict(difference, metric.higher_is_better, smallest)
        if difference.verdict is Verdict.INCONCLUSIVE and not difference.interim:
            difference.more_seeds = _more_seeds(difference, test.share, power)


def _describe(difference: Difference, higher_is_better: bool) -> None:
    """What does not depend on other groups: single tests and effect size."""
    values = list(difference.values.values())
    if len(values) > 1:
        difference.p = paired.t_p_value(values)
        difference.p_sign_flip = paired.sign_flip_p_value(values)
        difference.interval_sign_flip = paired.sign_flip_interval(values, LEVEL)
        difference.effect = paired.effect_size(values)
        difference.p_better = probability_better(values, higher_is_better)


def _verdict(difference: Difference, higher_is_better: bool, smallest: float | None) -> Verdict:
    """By the interval alone."""
    if len(difference.values) < 2:
        return Verdict.ONE_SEED if difference.values else Verdict.NO_SHARED_SEED
    if not difference.sd:
        return Verdict.IDENTICAL
    if difference.interval is None:
        return Verdict.INCONCLUSIVE
    low, high = difference.interval
    if low > 0 or high < 0:
        return Verdict.BETTER if (low > 0) == higher_is_better else Verdict.WORSE
    if smallest is not None and -smallest < low and high < smallest:
        return Verdict.IRRELEVANT
    return Verdict.INCONCLUSIVE


def _more_seeds(difference: Difference, share: float, power: float) -> int | None:
    """Seeds to add, or fresh seeds where these have used up their plan; None for more than is practical."""
    if difference.mean is None:
        return None
    level = PLANNED * (1.0 if difference.fresh else share)  # fresh seeds are for this comparison alone
    needed = seeds_needed(difference.mean, difference.sd, level, power)
    return needed if needed is None or difference.fresh else max(1, needed - len(difference.values))
