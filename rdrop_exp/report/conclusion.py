"""The result in words: what is best, whether it differs significantly from the baseline; labels in `backticks`."""

from rdrop_exp.report.caveats import in_words
from rdrop_exp.report.comparison import Comparison, Report, Row, Verdict
from rdrop_exp.report.metric import interval, number, signed
from rdrop_exp.report.trial import Status

NAMED = 2
"""Groups named in the sentence; the others are counted."""


def conclusions(report: Report) -> list[str]:
    """The conclusion on each setting, with the setting's name in front where there are several."""
    several = len(report.comparisons) > 1
    return [f"{c.setting.label}: {conclusion(c)}" if several else conclusion(c) for c in report.comparisons] or [
        f"No trial could be read: {status_line(report)}." if report.trials else "No trials yet."
    ]


def conclusion(comparison: Comparison) -> str:
    """One or two sentences; a difference is claimed only where the Holm-corrected p-value is below 0.05."""
    return " ".join(sentence for sentence in sentences(comparison) if sentence)


def sentences(comparison: Comparison) -> tuple[str, str]:
    """What is best, and which other groups are inconclusive (may be empty)."""
    best = comparison.best
    if best is None:
        return "No trial has finished yet.", ""
    trials = [trial for row in comparison.rows for trial in row.group.trials]
    finished = sum(trial.status == Status.FINISHED for trial in trials)
    so_far = f"So far ({finished} of {len(trials)} trials): " if finished < len(trials) else ""
    return so_far + _main(comparison, best), _others(comparison, best)


def _main(comparison: Comparison, best: Row) -> str:
    base, metric, where = comparison.baseline, comparison.metric, comparison.measure
    if len(comparison.tied) > 1:
        return _tie(comparison)
    level = f"{number(getattr(best, where).mean, metric)}{'%' if metric.scale == 100 else ''} {metric.name} on {where}"
    if len(comparison.rows) == 1:
        return f"`{best.label}` reaches {level} ({_seeds(len(best.val.values))}). There is no other group to compare."
    if best is base:
        return f"The baseline `{best.label}` is best on validation ({level}, {_seeds(len(best.val.values))})."
    difference = best.difference
    if difference is None or difference.mean is None:
        why = "has no finished trial" if getattr(base, where).mean is None else "shares no seed with it"
        return f"`{best.label}` is best on validation ({level}), but the baseline `{base.label}` {why}."
    gain = f"{where} {signed(difference.mean, metric)}"
    paired = _seeds(len(difference.seeds), "paired ")
    if difference.verdict is Verdict.ONE_SEED:
        return f"`{best.label}` is best on validation ({gain} over `{base.label}`), but one seed is too few to judge."
    if difference.interval is None:
        return f"`{best.label}` is best on validation: {gain} over `{base.label}`, the same in all {paired}."
    low, high = interval(difference.interval, metric)
    measured = f"{gain}, 95 % CI {low} to {high}, {paired}"
    if difference.verdict is Verdict.BETTER:
        return f"`{best.label}` is better than `{base.label}` ({measured})."
    if difference.verdict is Verdict.WORSE:
        return f"`{best.label}` is best on validation but worse than `{base.label}` on {where} ({measured})."
    tests = sum(row.difference is not None and row.difference.p is not None for row in comparison.rows)
    if not difference.interval[0] <= 0 <= difference.interval[1]:  # an interval without zero needs an explanation
        measured += f"; p = {difference.p_holm:.2f} after Holm’s correction for {tests} comparisons"
    return (
        f"No significant difference from `{base.label}`. Top on validation: `{best.label}` ({measured}; {_more(best)})."
    )


def _tie(comparison: Comparison) -> str:
    """Groups with the same validation mean, the baseline first among them."""
    named = []
    for row in comparison.tied[: NAMED + 1]:
        difference = row.difference
        if difference is None:
            named.append(f"the baseline `{row.label}`")
        elif difference.mean is None:
            named.append(f"`{row.label}` ({difference.verdict})")
        else:
            change = signed(difference.mean, comparison.metric)
            named.append(f"`{row.label}` ({comparison.measure} {change}, {difference.verdict})")
    rest = len(comparison.tied) - len(named)
    if rest:
        named.append(f"{rest} more {'group' if rest == 1 else 'groups'}")
    return f"Tied for best on validation: {in_words(named)}."


def _others(comparison: Comparison, best: Row) -> str:
    """The groups beside the best with inconclusive differences."""
    best_rows = comparison.tied
    rows = [row for row in comparison.rows if all(row is not one for one in best_rows) and row.difference]
    rows = [row for row in rows if row.difference and row.difference.verdict is Verdict.INCONCLUSIVE]
    if not rows:
        return ""
    named = [f"`{row.label}` ({_more(row)})" for row in rows[:NAMED]]
    rest = len(rows) - NAMED
    if rest > 0:
        named.append(f"{rest} more {'group' if rest == 1 else 'groups'}")
    return f"Also inconclusive: {in_words(named)}." if _is_inconclusive(best) else f"Inconclusive: {in_words(named)}."


def _is_inconclusive(row: Row) -> bool:
    return row.difference is not None and row.difference.verdict is Verdict.INCONCLUSIVE


def _more(row: Row) -> str:
    more = row.difference.more_seeds if row.difference else None
    if more is None:
        return "too small to detect with a practical number of seeds"
    return f"about {more} more {'seed' if more == 1 else 'seeds'} needed"


def _seeds(count: int, kind: str = "") -> str:
    return f"{count} {kind}seed{'' if count == 1 else 's'}"


def status_line(report: Report) -> str:
    """`18 finished, 2 running (40 %, 65 %), 1 failed`."""
    words = []
    for status, count in report.counts.items():
        shares = [t.progress for t in report.trials if t.status == status and t.progress is not None]
        listed = status in (Status.RUNNING, Status.STOPPED) and 0 < len(shares) <= 4
        words.append(f"{count} {status}" + (f" ({', '.join(f'{100 * s:.0f} %' for s in shares)})" if listed else ""))
    return ", ".join(words)
