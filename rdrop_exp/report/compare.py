"""From groups to a comparison: summaries, ranking, and paired differences to the baseline.

Groups are ranked by validation alone. Differences are taken on test, where nothing was selected, between trials of the
same seed and split, and judged together (`judgement`).
"""

from collections.abc import Iterable
from pathlib import Path

from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.report.answers import answers
from rdrop_exp.report.caveats import calibration, caveats, overall
from rdrop_exp.report.collect import collect
from rdrop_exp.report.comparison import Comparison, Report, Row, same_mean
from rdrop_exp.report.groups import Setting, settings
from rdrop_exp.report.items import add_items
from rdrop_exp.report.judgement import judge
from rdrop_exp.report.metric import Metric, choose_metric
from rdrop_exp.report.plan import families, planned_seeds, shared_plan
from rdrop_exp.report.rows import make_row, paired
from rdrop_exp.report.sweep import Sweep, read_sweeps
from rdrop_exp.report.trial import Trial
from rdrop_exp.statistics.power import POWER


def make_report(
    folders: Iterable[Path],
    baseline: str = "",
    metric: str = "",
    known: dict[str, tuple[int, Trial]] | None = None,
    *,
    smallest: float | None = None,
    power: float = POWER,
    same_code: bool = False,
) -> Report:
    """Read the folders and compare their trials; `OptionError` in one sentence for a name that does not exist.

    `smallest`: the smallest difference worth having, in the unit of the report (default: the sweep's).
    """
    if smallest is not None and not smallest > 0:
        raise OptionError(f"--smallest={smallest:g} must be above 0")
    if not 0 < power < 1:
        raise OptionError(f"--power={power:g} must be between 0 and 1, such as 0.95")
    trials, copies = collect(folders, known, same_code)
    wanted = choose_metric(trials, metric) if metric else None
    by_setting = settings(trials)
    sweeps = read_sweeps(trial.folder.parent for trial in trials)
    declared = {sweep.baseline for sweep in sweeps if sweep.baseline}
    names = {name for setting in by_setting for group in setting.groups for name in (group.label, group.regularizer)}
    if baseline and by_setting and baseline not in names:
        raise OptionError(f"--baseline={baseline} is no group or regularizer of this report{nearest(baseline, names)}")
    baseline = baseline or (declared.pop() if len(declared) == 1 else "")
    comparisons = [compare(setting, wanted or own_metric(setting), baseline, sweeps) for setting in by_setting]
    relevant = {sweep.smallest for sweep in sweeps if sweep.smallest}
    given = smallest
    smallest = smallest or (relevant.pop() if len(relevant) == 1 else None)
    for family in families(comparisons, sweeps):
        judge(family, smallest, power)
    add_items(comparisons)
    for comparison in comparisons:
        comparison.notes += caveats(comparison) + calibration(comparison)
    report = Report(trials=trials, comparisons=comparisons, notes=[], sweeps=sweeps)
    report.notes += overall(report, copies)
    report.answers = answers(report, given, power)
    return report


def own_metric(setting: Setting) -> Metric:
    """That of the setting's task."""
    return choose_metric(trial for group in setting.groups for trial in group.trials)


def compare(setting: Setting, metric: Metric, baseline: str, sweeps: list[Sweep]) -> Comparison:
    """Summarise and rank the groups of one setting; `baseline`: label or regularizer of a group, if any."""
    rows = [make_row(group, metric) for group in setting.groups]
    direction = -1 if metric.higher_is_better else 1
    rows.sort(key=lambda r: (r.val.mean is None, direction * round(r.val.mean or 0, 9), r.label))
    measure = "test" if any(row.test.values for row in rows) or not any(row.val.values for row in rows) else "val"
    base, notes, warnings = _choose_baseline(rows, baseline)
    rows.sort(key=lambda r: (r.val.mean is None, direction * round(r.val.mean or 0, 9), r is not base))
    planned = planned_seeds(base.group, sweeps)
    for i, row in enumerate(rows):
        row.rank = rows[i - 1].rank if i and same_mean(rows[i - 1].val, row.val) else i + 1
        if base.training_seconds.mean and row.training_seconds.mean is not None:
            row.relative_cost = row.training_seconds.mean / base.training_seconds.mean
        if row is not base:
            row.difference = paired(getattr(row, measure), getattr(base, measure))
            row.difference.planned = shared_plan(planned_seeds(row.group, sweeps), planned)
    if measure == "val":
        notes.append(
            "No test results: differences are on validation, where the best group was selected, and are optimistic."
        )
    return Comparison(
        setting=setting, metric=metric, measure=measure, rows=rows, baseline=base, notes=notes, warnings=warnings
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
