"""What a comparison consists of: groups summarised over seeds, their differences to the baseline, and the report."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from rdrop_exp.report.expected import AnswerRow
from rdrop_exp.report.groups import Group, Setting
from rdrop_exp.report.metric import Metric
from rdrop_exp.report.sweep import Sweep
from rdrop_exp.report.trial import Key, Status, Trial
from rdrop_exp.statistics.paired import mean_sd
from rdrop_exp.statistics.power import POWER


class Verdict(StrEnum):
    """The result of comparing a group with the baseline."""

    BETTER = "better"
    WORSE = "worse"
    IRRELEVANT = "no relevant difference"
    """Smaller than the smallest difference worth having (`smallest`)."""
    INCONCLUSIVE = "inconclusive"
    IDENTICAL = "identical"
    """The same difference in every seed: without spread there is no test."""
    ONE_SEED = "one seed"
    NO_SHARED_SEED = "no shared seed"


@dataclass(kw_only=True, slots=True)
class Summary:
    """A measure over a group's seeds: value by seed and split, mean, sample standard deviation (None for one value)."""

    values: dict[Key, float]
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

    values: dict[Key, float]
    mean: float | None = None
    sd: float | None = None
    interval: tuple[float, float] | None = None
    """95 %, simultaneous with all other differences of its family, for new seeds on this test set."""
    level: float = 0.0
    """Of `interval` by itself, after correction."""
    p: float | None = None
    """Of the t test, not adjusted."""
    p_adjusted: float | None = None
    """Below 0.05 exactly where `interval` excludes zero."""
    p_sign_flip: float | None = None
    interval_sign_flip: tuple[float, float] | None = None
    effect: float | None = None
    p_better: tuple[float, float, float] | None = None
    """Chance that the group is better on a new seed, with its 95 % interval; from 10 seeds on."""
    interval_items: tuple[float, float] | None = None
    """Like `interval`, for new seeds and new test items."""
    planned: int | None = None
    """Number of shared seeds that was planned; None if unknown: then the present number counts as planned."""
    more_seeds: int | None = None
    """Further seeds for the wanted power at this effect; with a plan that is used up, fresh seeds (`fresh`)."""
    verdict: Verdict = Verdict.NO_SHARED_SEED

    def __post_init__(self) -> None:
        if self.values:
            self.mean, self.sd = mean_sd(list(self.values.values()))

    @property
    def seeds(self) -> list[Key]:
        return list(self.values)

    @property
    def interim(self) -> bool:
        """Before the planned number of seeds."""
        return self.planned is not None and len(self.values) < self.planned

    @property
    def beyond(self) -> bool:
        """Past the planned number of seeds."""
        return self.planned is not None and len(self.values) > self.planned

    @property
    def fresh(self) -> bool:
        """Whether `more_seeds` are fresh ones: seeds added to these would count as beyond the plan."""
        return self.planned is not None


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
    power: float = POWER
    """For which the differences' `more_seeds` are."""

    @property
    def unit(self) -> str:
        """What its speeds count: images or tokens."""
        return next((trial.unit for row in self.rows for trial in row.group.trials), "images")

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
    def headline(self) -> Row | None:
        """What the conclusion begins with: the best group if it differs from the baseline, or one that does."""
        differs = [row for row in self.rows if self.differs(row)]
        better = [row for row in differs if row.difference and row.difference.verdict is Verdict.BETTER]
        best = self.best
        return best if best is None or self.differs(best) else next(iter([*better, *differs, best]))

    @staticmethod
    def differs(row: Row) -> bool:
        """Whether the row's interval excludes zero."""
        return row.difference is not None and row.difference.verdict in (Verdict.BETTER, Verdict.WORSE)

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
    answers: list[AnswerRow] = field(default_factory=list)
    """To what the sweeps expect."""

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
