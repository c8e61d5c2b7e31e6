"""What a comparison consists of: groups summarised over seeds, their differences to the baseline, and the report."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from rdrop_exp.report.collect import Status, Trial
from rdrop_exp.report.groups import Group, Setting
from rdrop_exp.report.metric import Metric
from rdrop_exp.report.statistics import mean_sd


class Verdict(StrEnum):
    """What the differences to the baseline allow one to say."""

    BETTER = "better"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"
    IDENTICAL = "identical"
    """The same difference in every seed: no spread to measure it against."""
    ONE_SEED = "one seed"
    NO_SHARED_SEED = "no shared seed"


@dataclass(kw_only=True, slots=True)
class Summary:
    """A measure over a group's seeds: value by seed, mean, sample standard deviation (None for one seed)."""

    values: dict[int, float]
    mean: float | None = None
    sd: float | None = None

    def __post_init__(self) -> None:
        if self.values:
            self.mean, self.sd = mean_sd(list(self.values.values()))


@dataclass(kw_only=True, slots=True)
class Difference:
    """Group minus baseline on the seeds that both have."""

    seeds: list[int]
    mean: float | None = None
    sd: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None
    p_sign_flip: float | None = None
    interval_sign_flip: tuple[float, float] | None = None
    effect: float | None = None
    more_seeds: int | None = None
    verdict: Verdict = Verdict.NO_SHARED_SEED


@dataclass(kw_only=True, slots=True)
class Row:
    """A group and its measures; `difference` is None for the baseline itself."""

    group: Group
    val: Summary
    test: Summary
    train_loss: Summary
    gap: Summary
    seconds: Summary
    speed: Summary
    relative_cost: float | None = None
    difference: Difference | None = None

    @property
    def label(self) -> str:
        return self.group.label


@dataclass(kw_only=True, slots=True)
class Comparison:
    """All groups of one setting, best on validation first; `measure`: where differences are taken, test or val."""

    setting: Setting
    metric: Metric
    measure: str
    rows: list[Row]
    baseline: Row
    notes: list[str] = field(default_factory=list)

    @property
    def ranked(self) -> list[Row]:
        """Groups with at least half the seeds of the fullest, best on validation first: one lucky seed is no winner."""
        most = max(len(row.val.values) for row in self.rows)
        return [row for row in self.rows if row.val.values and 2 * len(row.val.values) >= most]

    @property
    def best(self) -> Row | None:
        return next(iter(self.ranked), None)


@dataclass(kw_only=True, slots=True)
class Report:
    """All trials that were read, and a comparison for each setting."""

    trials: list[Trial]
    comparisons: list[Comparison]
    notes: list[str]

    @property
    def counts(self) -> dict[Status, int]:
        counts = Counter(trial.status for trial in self.trials)
        return {status: counts[status] for status in Status if counts[status]}

    @property
    def experiments(self) -> list[str]:
        return sorted({trial.experiment for trial in self.trials if trial.experiment})
