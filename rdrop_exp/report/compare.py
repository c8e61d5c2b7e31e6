"""From groups to a comparison: summaries, ranking, and paired differences to the baseline.

Groups are ranked by validation alone. Differences are taken on test, where nothing was selected, between trials of the
same seed.
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path

from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.report.caveats import caveats
from rdrop_exp.report.collect import collect
from rdrop_exp.report.comparison import Comparison, Difference, Report, Row, Summary, Verdict, same_mean
from rdrop_exp.report.groups import Group, Setting, settings
from rdrop_exp.report.metric import Metric, choose_metric
from rdrop_exp.report.sweep import read_sweeps
from rdrop_exp.report.trial import Status, Trial
from rdrop_exp.statistics import paired as statistics

LEVEL = 0.05


def make_report(
    folders: Iterable[Path],
    baseline: str = "",
    metric: str = "",
    known: dict[str, tuple[int, Trial]] | None = None,
) -> Report:
    """Read the folders and compare their trials; `OptionError` in one sentence for a name that does not exist."""
    trials, copies = collect(folders, known)
    measured = choose_metric(trials, metric)
    by_setting = settings(trials)
    sweeps = read_sweeps(trial.folder.parent for trial in trials)
    declared = {sweep.baseline for sweep in sweeps if sweep.baseline}
    names = {name for setting in by_setting for group in setting.groups for name in (group.label, group.regularizer)}
    if baseline and by_setting and baseline not in names:
        raise OptionError(f"--baseline={baseline} is no group or regularizer of this report{nearest(baseline, names)}")
    notes = [f"{copies} copies of trials in other folders were ignored."] if copies else []
    baseline = baseline or (declared.pop() if len(declared) == 1 else "")
    comparisons = [compare(setting, measured, baseline) for setting in by_setting]
    return Report(trials=trials, comparisons=comparisons, notes=notes, sweeps=sweeps)


def compare(setting: Setting, metric: Metric, baseline: str = "") -> Comparison:
    """Summarise, rank and test the groups of one setting; `baseline`: label or regularizer of a group, if any."""
    rows = [_row(group, metric) for group in setting.groups]
    direction = -1 if metric.higher_is_better else 1
    rows.sort(key=lambda r: (r.val.mean is None, direction * round(r.val.mean or 0, 9), r.label))
    measure = "test" if any(row.test.values for row in rows) or not any(row.val.values for row in rows) else "val"
    base, notes, warnings = _choose_baseline(rows, baseline)
    rows.sort(key=lambda r: (r.val.mean is None, direction * round(r.val.mean or 0, 9), r is not base))
    for i, row in enumerate(rows):
        row.rank = rows[i - 1].rank if i and same_mean(rows[i - 1].val, row.val) else i + 1
        if base.training_seconds.mean and row.training_seconds.mean is not None:
            row.relative_cost = row.training_seconds.mean / base.training_seconds.mean
        if row is not base:
            row.difference = _difference(getattr(row, measure), getattr(base, measure))
    _judge([row.difference for row in rows if row.difference], metric)
    if measure == "val":
        notes.append(
            "No test results: differences are on validation, where the best group was selected, and are optimistic."
        )
    comparison = Comparison(
        setting=setting, metric=metric, measure=measure, rows=rows, baseline=base, notes=notes, warnings=warnings
    )
    comparison.notes += caveats(comparison)
    return comparison


def _row(group: Group, metric: Metric) -> Row:
    finished = group.having(Status.FINISHED)

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
        training_seconds=over_seeds(lambda t: t.seconds if t.training_seconds is None else t.training_seconds),
        speed=over_seeds(lambda t: t.images_per_second),
    )


def _choose_baseline(rows: list[Row], wanted: str) -> tuple[Row, list[str], list[str]]:
    """The group of that label, or the best on validation of that regularizer; with notes and warnings on the choice."""
    warnings: list[str] = []
    for name in dict.fromkeys([wanted or "none", "none"]):
        named = [row for row in rows if row.label == name] or [row for row in rows if row.group.regularizer == name]
        if named:
            base, notes = named[0], []
            if len(named) > 1:
                notes.append(f"The baseline `{base.label}` is the best on validation of {len(named)} `{name}` groups.")
            if base.val.mean is None:
                notes.append(f"The baseline `{base.label}` has no finished trial yet.")
            return base, notes, [f"{warning}; compared with `{base.label}`." for warning in warnings]
        warnings.append(f"The baseline `{name}` is missing")
    first = min(rows, key=lambda row: (row.val.mean is None, row.label))
    note = f"No group is named `none`: the baseline is `{first.label}`, the first (--baseline sets another)."
    return first, [note], [f"{warning}; compared with `{first.label}`." for warning in warnings if wanted][:1]


def _difference(group: Summary, baseline: Summary) -> Difference:
    seeds = sorted(group.values.keys() & baseline.values.keys())
    difference = Difference(seeds=seeds)
    if not seeds:
        return difference
    values = [group.values[seed] - baseline.values[seed] for seed in seeds]
    difference.mean, difference.sd = statistics.mean_sd(values)
    if len(seeds) == 1:
        difference.verdict = Verdict.ONE_SEED
        return difference
    difference.verdict = Verdict.INCONCLUSIVE if difference.sd else Verdict.IDENTICAL
    difference.interval = statistics.t_interval(values, LEVEL)
    difference.p = statistics.t_p_value(values)
    difference.p_sign_flip = statistics.sign_flip_p_value(values)
    difference.interval_sign_flip = statistics.sign_flip_interval(values, LEVEL)
    difference.effect = statistics.effect_size(values)
    return difference


def _judge(differences: list[Difference], metric: Metric) -> None:
    """Holm over all groups compared with the baseline; where a result is inconclusive, how many more seeds it needs."""
    for difference, (p, factor) in zip(differences, statistics.holm([d.p for d in differences]), strict=True):
        if p is None or factor is None or difference.mean is None:
            continue
        difference.p_holm = p
        if p < LEVEL:
            improved = (difference.mean > 0) == metric.higher_is_better
            difference.verdict = Verdict.BETTER if improved else Verdict.WORSE
        elif needed := statistics.seeds_needed(difference.mean, difference.sd, LEVEL / factor):
            difference.more_seeds = max(1, needed - len(difference.seeds))
