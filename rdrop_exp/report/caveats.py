"""What limits a comparison, in sentences: missing seeds and values, different devices. Labels are in `backticks`."""

from collections.abc import Iterable
from statistics import fmean

from rdrop_exp.report.comparison import Comparison, Report, Row
from rdrop_exp.report.trial import Key, Status
from rdrop_exp.runs import code
from rdrop_exp.statistics.sequential import interval_at


def caveats(comparison: Comparison) -> list[str]:
    """Unpaired seeds, trials without the metric, seeds beyond the plan, and differing devices."""
    base, name, best = comparison.baseline, comparison.metric.name, comparison.best
    notes = []
    for row in comparison.rows[: comparison.rows.index(best)] if best else []:
        few = f"{len(row.val.values)} seed{'s' if len(row.val.values) > 1 else ''}"
        notes.append(f"`{row.label}` is ahead on validation, but has too few seeds to be called best ({few}).")
    of_base = getattr(base, comparison.measure).values.keys()
    missing_in_base: set[Key] = set()
    for row in comparison.rows:
        of_row = getattr(row, comparison.measure).values.keys()
        if of_base and of_row:
            missing_in_base |= of_row - of_base
            if missing := of_base - of_row:
                lost = _seeds(missing, comparison, row)
                notes.append(f"`{row.label}` has no result for {lost}; `{base.label}` does.")
        for part in ("val", comparison.measure):
            finished = {trial.key for trial in row.group.having(Status.FINISHED)}
            if missing := finished - getattr(row, part).values.keys():
                notes.append(f"`{row.label}` has no finite {part}/{name} for {_seeds(missing, comparison)}.")
                break
    if missing_in_base:
        lost = _seeds(missing_in_base, comparison, base)
        notes.append(f"The baseline `{base.label}` has no result for {lost}; other groups do.")
    notes += _beyond_plan(comparison)
    finished_trials = [trial for row in comparison.rows for trial in row.group.having(Status.FINISHED)]
    devices = sorted({trial.device for trial in finished_trials if trial.device})
    if len(devices) > 1:
        notes.append(f"Trials ran on different devices ({', '.join(devices)}): their times are not comparable.")
    return notes


def calibration(comparison: Comparison) -> list[str]:
    """What `monte_carlo` measured on test, means over seeds."""
    parts = []
    for row in comparison.rows:
        trials = row.group.having(Status.FINISHED)
        values = {
            name: [100 * t.metrics[f"test/{name}"] for t in trials if f"test/{name}" in t.metrics]
            for name in ("ece", "ece_mc", "accuracy_mc")
        }
        clean, *noisy = (f"{fmean(each):.2f}" for each in values.values() if each) if values["ece"] else ("",)
        if clean:
            parts.append(f"`{row.label}` {clean}" + (f" ({noisy[0]}, accuracy {noisy[1]})" if noisy else ""))
    what = "Calibration error (ECE) on test in %, and in brackets that of the mean of noisy passes"
    return [f"{what}: {', '.join(parts)}."] if parts else []


def overall(report: Report, copies: int) -> list[str]:
    """What limits all comparisons of a report."""
    notes = [f"{copies} copies of trials in other folders were ignored."] if copies else []
    finished = [trial for trial in report.trials if trial.status == Status.FINISHED]
    if others := [other for trial in finished if (other := code.differs(trial.code))]:
        notes.append(f"{code.sentence(others, len(finished))} (--same-code leaves them out).")
    differences = [row.difference for c in report.comparisons for row in c.rows if row.difference]
    if any(d.planned is None and d.interval for d in differences):
        notes.append("The planned number of seeds is unknown: intervals assume that it was fixed in advance.")
    return notes


def _beyond_plan(comparison: Comparison) -> list[str]:
    """That groups have more seeds than planned, and how much wider that makes their intervals."""
    rows = [row for row in comparison.rows if row.difference and row.difference.beyond]
    if not rows:
        return []
    difference = max((row.difference for row in rows if row.difference), key=lambda d: len(d.values))
    values = list(difference.values.values())
    wide, usual = interval_at(values, difference.planned), interval_at(values)
    ratio = (wide[1] - wide[0]) / (usual[1] - usual[0]) if wide and usual else None
    cost = f"about {ratio:.1f} times as wide as" if ratio else "wider than"
    who = f"`{rows[0].label}` has" if len(rows) == 1 else f"{len(rows)} groups have"
    return [
        f"{who} more seeds than planned ({len(values)} instead of {difference.planned}). Because seeds may have been"
        f" added after looking at results, the intervals are {cost} at the plan. For a test at full strength, train"
        " fresh seeds with `rdrop-report --confirm`."
    ]


def _seeds(keys: Iterable[Key], comparison: Comparison, row: Row | None = None) -> str:
    """`seeds 3 (failed) and 4 (running)`."""
    status = {t.key: t.status for t in row.group.trials if t.status != Status.FINISHED} if row else {}
    name = comparison.setting.seed_name
    words = [f"{name(key)} ({status[key]})" if key in status else name(key) for key in sorted(keys)]
    return f"seed{'s' if len(words) > 1 else ''} {in_words(words)}"


def in_words(words: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
