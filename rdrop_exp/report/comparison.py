"""What a comparison consists of: groups summarised over seeds, their differences to the baseline, and the report."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from rdrop_exp.report.groups import Group, Setting
from rdrop_exp.report.metric import Metric
from rdrop_exp.report.sweep import Sweep
from rdrop_exp.report.trial import Status, Trial
from rdrop_exp.statistics.paired import mean_sd


class Verdict(StrEnum):
    """The result of comparing a group with the baseline."""

    BETTER = "better"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"
    IDENTICAL = "identical"
    """The same difference in every seed: without spread there is no test."""
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


def same_mean(one: Summary, other: Summary) -> bool:
    """Equal up to rounding, which depends on the order of summation."""
    if one.mean is None or other.mean is None:
        return one.mean is other.mean
    return round(one.mean, 9) == round(other.mean, 9)


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
    training_seconds: Summary
    speed: Summary
    rank: int = 0
    """1 for the best on validation; tied groups share a rank."""
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
    warnings: list[str] = field(default_factory=list)

    @property
    def ranked(self) -> list[Row]:
        """Groups with at least half the seeds of the fullest, best on validation first: one lucky seed is no winner."""
        most = max(len(row.val.values) for row in self.rows)
        return [row for row in self.rows if row.val.values and 2 * len(row.val.values) >= most]

    @property
    def best(self) -> Row | None:
        """First of the ranked groups: the baseline, if it is tied for best."""
        return next(iter(self.ranked), None)

    @property
    def tied(self) -> list[Row]:
        """The best group on validation and those that equal it; empty if nothing is ranked."""
        ranked = self.ranked
        return [row for row in ranked if same_mean(row.val, ranked[0].val)]


@dataclass(kw_only=True, slots=True)
class Report:
    """All trials that were read, and a comparison for each setting."""

    trials: list[Trial]
    comparisons: list[Comparison]
    notes: list[str]
    sweeps: list[Sweep] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The title of the sweep if there is one, else the names of the experiments."""
        titles = list(dict.fromkeys(sweep.title for sweep in self.sweeps))
        return titles[0] if len(titles) == 1 else ", ".join(self.experiments)

    @property
    def question(self) -> str:
        questions = list(dict.fromkeys(sweep.question for sweep in self.sweeps))
        return questions[0] if len(questions) == 1 else ""

    @property
    def counts(self) -> dict[Status, int]:
        counts = Counter(trial.status for trial in self.trials)
        return {status: counts[status] for status in Status if counts[status]}

    @property
    def experiments(self) -> list[str]:
        return sorted({trial.experiment for trial in self.trials if trial.experiment})
