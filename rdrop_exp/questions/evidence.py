"""What the values of a contrast show: whether it is as expected, the opposite, or too small to matter."""

from rdrop_exp.questions.contrasts import Contrast
from rdrop_exp.statistics.equivalence import equivalent
from rdrop_exp.statistics.paired import mean_sd
from rdrop_exp.statistics.power import seeds_needed
from rdrop_exp.statistics.sequential import PLANNED, interval_at


class Evidence:
    """One contrast tested: at `share` of the level for agreement, at `part` of it for refutation.

    `smallest` is the smallest difference worth having; `plan` the planned number of seeds, 0 where any number is a look
    before or after it, None where no plan is known (`rdrop_exp.statistics.sequential`).
    """

    def __init__(self, contrast: Contrast, smallest: float | None, plan: int | None, share: float, part: float) -> None:
        self.values, self.sign, self.smallest = list(contrast.values.values()), contrast.sign, smallest
        self.mean, self.sd = mean_sd(self.values) if self.values else (0.0, None)
        self.interval = interval_at(self.values, plan, share)
        self.wide = interval_at(self.values, plan, part)
        low, high = self.interval or (-float("inf"), float("inf"))
        below, above = self.wide or (-float("inf"), float("inf"))
        small = smallest is not None and bool(equivalent(self.values, smallest, plan, part if self.sign else share))
        self.irrelevant = small and self.sign != 0
        if self.sign:
            self.agrees = low > 0 if self.sign > 0 else high < 0
            self.refutes = above < 0 if self.sign > 0 else below > 0
        else:
            self.agrees = small
            self.refutes = smallest is not None and (below > smallest or above < -smallest)

    @property
    def support(self) -> float:
        """The less, the further from what was expected, in standard errors."""
        error = (self.sd or 0.0) / max(1, len(self.values)) ** 0.5 or 1e-12
        distance = self.sign * self.mean if self.sign else (self.smallest or 0.0) - abs(self.mean)
        return distance / error if self.values else -float("inf")

    def more_seeds(self, planned: int | None, share: float, power: float) -> int | None:
        """Seeds to add, or fresh ones where these have used up their plan; None for more than is practical."""
        level = PLANNED * (share if planned is None else 1.0)  # fresh seeds are for this line alone
        if self.sign:
            needed = seeds_needed(self.mean, self.sd, level, power)
        else:  # each of two one-sided tests, at the distance to the nearer bound
            room = (self.smallest or 0.0) - abs(self.mean)
            needed = seeds_needed(room, self.sd, 2 * level, (1 + power) / 2) if room > 0 else None
        return needed if needed is None or planned is not None else max(1, needed - len(self.values))
