"""From groups to a comparison: summaries, ranking, paired differences to the baseline, and what the reader must know.

Settings are ranked by validation alone. Differences are taken on test, where nothing was selected, between trials of
the same seed.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.report import caveats, statistics
from rdrop_exp.report.collect import STATUSES, Trial, collect
from rdrop_exp.report.groups import Group, Setting, settings
from rdrop_exp.report.metric import Metric, choose_metric

LEVEL = 0.05


@dataclass(kw_only=True, slots=True)
class Summary:
    """A measure over a group's seeds: value by seed, mean, sample standard deviation (None for one seed)."""

    values: dict[int, float]
    mean: float | None = None
    sd: float | None = None

    def __post_init__(self) -> None:
        if self.values:
            self.mean, self.sd = statistics.mean_sd(list(self.values.values()))


@dataclass(kw_only=True, slots=True)
class Difference:
    """Setting minus baseline on the seeds that both have.

    `verdict`: better, worse, open (not distinguishable), one seed, no spread (the same in each seed), no shared seed.
    """

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
    verdict: str = "no shared seed"


@dataclass(kw_only=True, slots=True)
class Row:
    """A group with everything the report says of it; `difference` is None for the baseline itself."""

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
    """Everything read and compared."""

    trials: list[Trial]
    comparisons: list[Comparison]
    notes: list[str]

    @property
    def counts(self) -> dict[str, int]:
        counts = Counter(trial.status for trial in self.trials)
        return {status: counts[status] for status in STATUSES if counts[status]}

    @property
    def experiments(self) -> list[str]:
        return sorted({trial.experiment for trial in self.trials if trial.experiment})


def make_report(
    folders: Iterable[Path],
    baseline: str = "",
    metric: str = "",
    known: dict[str, tuple[int, Trial]] | None = None,
) -> Report:
    """Read the folders and compare what is there; `OptionError` in one sentence for a name that does not exist."""
    trials, copies = collect(folders, known)
    measured = choose_metric(trials, metric)
    apart = settings(trials)
    names = {name for setting in apart for group in setting.groups for name in (group.label, group.regularizer)}
    if baseline and apart and baseline not in names:
        raise OptionError(f"--baseline={baseline} is no group or regularizer of this report{nearest(baseline, names)}")
    notes = [f"Trials found in more than one folder count once: {copies} passed over."] if copies else []
    return Report(trials=trials, comparisons=[compare(s, measured, baseline) for s in apart], notes=notes)


def compare(setting: Setting, metric: Metric, baseline: str = "") -> Comparison:
    """Summarise, rank and test the groups of one setting."""
    rows = [_row(group, metric) for group in setting.groups]
    direction = -1 if metric.higher_is_better else 1
    rows.sort(key=lambda r: (r.val.mean is None, direction * (r.val.mean or 0), r.label))
    measure = "test" if any(row.test.values for row in rows) or not any(row.val.values for row in rows) else "val"
    base, notes = _choose_baseline(rows, baseline)
    for row in rows:
        if base.seconds.mean and row.seconds.mean is not None:
            row.relative_cost = row.seconds.mean / base.seconds.mean
        if row is not base:
            row.difference = _difference(getattr(row, measure), getattr(base, measure))
    _judge([row.difference for row in rows if row.difference], metric)
    if measure == "val":
        notes.append(
            "There is no test measure: differences are on validation, where the best was selected, and so too good."
        )
    made = Comparison(setting=setting, metric=metric, measure=measure, rows=rows, baseline=base, notes=notes)
    made.notes += caveats.notes(made)
    return made


def _row(group: Group, metric: Metric) -> Row:
    finished = group.having("finished")

    def over_seeds(value: Callable[[Trial], float | None], scale: float = 1.0) -> Summary:
        values = {t.seed: scale * v for t in finished if (v := value(t)) is not None and math.isfinite(v)}
        return Summary(values=values)

    def gap(trial: Trial) -> float | None:
        loss = "cross_entropy" if metric.name == "loss" and "train/cross_entropy" in trial.metrics else metric.name
        train, test = trial.metrics.get(f"train/{loss}"), trial.metrics.get(f"test/{metric.name}")
        if train is None or test is None:
            return None
        return train - test if metric.higher_is_better else test - train

    return Row(
        group=group,
        val=over_seeds(lambda t: t.metrics.get(f"val/{metric.name}"), metric.scale),
        test=over_seeds(lambda t: t.metrics.get(f"test/{metric.name}"), metric.scale),
        train_loss=over_seeds(lambda t: t.metrics.get("train/loss")),
        gap=over_seeds(gap, metric.scale),
        seconds=over_seeds(lambda t: t.seconds),
        speed=over_seeds(lambda t: t.images_per_second),
    )


def _choose_baseline(rows: list[Row], wanted: str) -> tuple[Row, list[str]]:
    """The group of that label, or the best on validation of that regularizer, and what to say about the choice."""
    for name in [wanted, "none"] if wanted else ["none"]:
        found = [row for row in rows if row.label == name] or [row for row in rows if row.group.regularizer == name]
        if found:
            said = []
            if name != (wanted or "none"):
                said.append(f"There is no group `{wanted}` here; the baseline is `{found[0].label}`.")
            if len(found) > 1:
                said.append(
                    f"The baseline `{found[0].label}` is the best on validation of {len(found)} named `{name}`."
                )
            if found[0].val.mean is None:
                said.append(f"The baseline `{found[0].label}` has no finished trial yet.")
            return found[0], said
    first = min(rows, key=lambda row: (row.val.mean is None, row.label))
    return first, [f"No group is named `none`: the baseline is `{first.label}`, the first (--baseline sets another)."]


def _difference(setting: Summary, baseline: Summary) -> Difference:
    seeds = sorted(setting.values.keys() & baseline.values.keys())
    found = Difference(seeds=seeds)
    if not seeds:
        return found
    values = [setting.values[seed] - baseline.values[seed] for seed in seeds]
    found.mean, found.sd = statistics.mean_sd(values)
    if len(seeds) == 1:
        found.verdict = "one seed"
        return found
    found.verdict = "open" if found.sd else "no spread"
    found.interval = statistics.t_interval(values, LEVEL)
    found.p = statistics.t_p_value(values)
    found.p_sign_flip = statistics.sign_flip_p_value(values)
    found.interval_sign_flip = statistics.sign_flip_interval(values, LEVEL)
    found.effect = statistics.effect_size(values)
    return found


def _judge(differences: list[Difference], metric: Metric) -> None:
    """Holm over all groups compared with the baseline; where it settles nothing, how many more seeds would."""
    for found, (p, factor) in zip(differences, statistics.holm([d.p for d in differences]), strict=True):
        if p is None or factor is None or found.mean is None:
            continue
        found.p_holm = p
        if p < LEVEL:
            found.verdict = "better" if (found.mean > 0) == metric.higher_is_better else "worse"
        elif needed := statistics.seeds_needed(found.mean, found.sd, LEVEL / factor):
            found.more_seeds = max(1, needed - len(found.seeds))
