"""The result in words: what differs significantly from the baseline, what is best; labels in `backticks`."""

from collections.abc import Sized

from rdrop_exp.report.caveats import in_words
from rdrop_exp.report.comparison import Comparison, Difference, Report, Row, Verdict
from rdrop_exp.report.items import NEW_ITEMS
from rdrop_exp.report.metric import interval, number, signed
from rdrop_exp.report.trial import Status

NAMED = 2
"""Groups named in a list; the others are counted."""
LISTS = {
    Verdict.BETTER: "Also better",
    Verdict.WORSE: "Worse",
    Verdict.IRRELEVANT: "No relevant difference",
    Verdict.INCONCLUSIVE: "Inconclusive",
}
"""How the groups beside the one in the first sentence are introduced."""


def conclusions(report: Report) -> list[str]:
    """The conclusion on each setting, with the setting's name in front where there are several."""
    several = len(report.comparisons) > 1
    return [f"{c.setting.label}: {conclusion(c)}" if several else conclusion(c) for c in report.comparisons] or [
        f"No trial could be read: {status_line(report)}." if report.trials else "No trials yet."
    ]


def conclusion(comparison: Comparison) -> str:
    """A few sentences; a difference is claimed only where its interval excludes zero."""
    return " ".join(sentence for sentence in sentences(comparison) if sentence)


def sentences(comparison: Comparison) -> tuple[str, str]:
    """The main result, and what is to be known about it and about the other groups (may be empty)."""
    best, headline = comparison.best, comparison.headline
    if best is None or headline is None:
        return "No trial has finished yet.", ""
    texts = [
        _new_items(comparison, headline),
        _top(comparison, best),
        _optimism(comparison, headline),
        *_others(comparison, headline),
    ]
    so_far, main = _so_far(comparison, headline), _main(comparison, headline)
    return so_far + (main[0].lower() + main[1:] if so_far else main), " ".join(text for text in texts if text)


def _so_far(comparison: Comparison, headline: Row) -> str:
    """`So far (9 of 11 trials, 5 of 8 planned seeds): `; empty where all is done."""
    trials = [trial for row in comparison.rows for trial in row.group.trials]
    finished = sum(trial.status == Status.FINISHED for trial in trials)
    done = [f"{finished} of {len(trials)} trials"] if finished < len(trials) else []
    differences = [row.difference for row in (headline, *comparison.rows) if row.difference]
    if interim := next((d for d in differences if d.interim), None):
        done.append(f"{len(interim.values)} of {interim.planned} planned seeds")
    return f"So far ({', '.join(done)}): " if done else ""


def _main(comparison: Comparison, row: Row) -> str:
    base, metric, where, difference = comparison.baseline, comparison.metric, comparison.measure, row.difference
    level = f"{number(getattr(row, where).mean, metric)}{'%' if metric.percent else ''} {metric.name} on {where}"
    if len(comparison.rows) == 1:
        return f"`{row.label}` reaches {level} ({_seeds(row.val.values)}). There is no other group to compare."
    if _is_tie(comparison, row):
        return _tie(comparison)
    if row is base:
        return f"The baseline `{row.label}` is best on validation ({level}, {_seeds(row.val.values)})."
    if difference is None or difference.mean is None:
        why = "has no finished trial" if getattr(base, where).mean is None else "shares no seed with it"
        return f"`{row.label}` is best on validation ({level}), but the baseline `{base.label}` {why}."
    measured = measurement(difference, comparison)
    match difference.verdict:
        case Verdict.ONE_SEED:
            gain = f"{where} {signed(difference.mean, metric)} over `{base.label}`"
            return f"`{row.label}` is best on validation ({gain}), but one seed is too few to judge."
        case Verdict.IDENTICAL:
            gain = f"{where} {signed(difference.mean, metric)} over `{base.label}`"
            return f"`{row.label}` is best on validation: {gain}, the same in all {_paired(difference, comparison)}."
        case Verdict.BETTER:
            return f"`{row.label}` is better than `{base.label}` ({measured})."
        case Verdict.WORSE if row is comparison.best:
            return f"`{row.label}` is best on validation but worse than `{base.label}` on {where} ({measured})."
        case Verdict.WORSE:
            return f"No group is better than `{base.label}`; `{row.label}` is worse ({measured})."
        case Verdict.IRRELEVANT:
            return f"No relevant difference from `{base.label}`. Top on validation: `{row.label}` ({measured})."
    more = _more(difference, comparison)
    return f"No significant difference from `{base.label}`. Top on validation: `{row.label}` ({measured}{more})."


def measurement(difference: Difference, comparison: Comparison) -> str:
    """`test +0.97 points, 95 % CI 0.18 to 1.75, 3 paired seeds`."""
    assert difference.mean is not None
    words = [f"{comparison.measure} {signed(difference.mean, comparison.metric)}"]
    if difference.interval:
        words.append("95 % CI {} to {}".format(*interval(difference.interval, comparison.metric)))
    return ", ".join([*words, _paired(difference, comparison)])


def _new_items(comparison: Comparison, row: Row) -> str:
    """What the interval covers, where the test items are known, and the wider one."""
    if row.difference is None or row.difference.interval_items is None or _is_tie(comparison, row):
        return ""
    low, high = interval(row.difference.interval_items, comparison.metric)
    this = "test" if comparison.measure == "test" else "validation"
    items = NEW_ITEMS[comparison.unit]
    return f"The interval is for new seeds on this {this} set; for new seeds and {items} it is {low} to {high}."


def _is_tie(comparison: Comparison, row: Row) -> bool:
    """Whether the first sentence names several groups."""
    return len(comparison.tied) > 1 and row is comparison.best and not comparison.differs(row)


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
    return f"Tied for best on validation: {in_words(named + _rest(len(comparison.tied) - len(named)))}."


def _top(comparison: Comparison, best: Row) -> str:
    """The best group on validation, where the first sentence is about another."""
    if best is comparison.headline:
        return ""
    if len(comparison.tied) > 1:
        return _tie(comparison)
    if best is comparison.baseline:
        return f"The baseline `{best.label}` is best on validation."
    if best.difference is None or best.difference.mean is None:
        return f"Top on validation: `{best.label}`."
    words = f"{measurement(best.difference, comparison)}{_more(best.difference, comparison)}"
    return f"Top on validation, but {best.difference.verdict}: `{best.label}` ({words})."


def _optimism(comparison: Comparison, row: Row) -> str:
    """That a winner among several looks better than it is."""
    if len(comparison.ranked) < 3 or row.difference is None or row.difference.verdict is not Verdict.BETTER:
        return ""
    return (
        f"`{row.label}` was chosen among {len(comparison.ranked)} groups on these trials: expect less on new seeds"
        " (`rdrop-report FOLDER --confirm` measures it)."
    )


def _others(comparison: Comparison, headline: Row) -> list[str]:
    """The groups that no sentence has named yet, by verdict."""
    named = [headline, *comparison.tied]
    texts = []
    for verdict, introduction in LISTS.items():
        rows = [row for row in comparison.rows if row.difference and row.difference.verdict is verdict]
        also = verdict is Verdict.INCONCLUSIVE and any(row is one for row in rows for one in named)
        rows = [row for row in rows if all(row is not one for one in named)]
        words = []
        for row in rows[:NAMED]:
            more = _more(row.difference, comparison).removeprefix("; ")
            words.append(f"`{row.label}` ({more})" if more else f"`{row.label}`")
        if words:
            introduction = "Also inconclusive" if also else introduction
            texts.append(f"{introduction}: {in_words(words + _rest(len(rows) - len(words)))}.")
    return texts


def _rest(count: int) -> list[str]:
    return [f"{count} more {'group' if count == 1 else 'groups'}"] if count > 0 else []


def _more(difference: Difference | None, comparison: Comparison) -> str:
    """`; about 12 more seeds for 80 % power`; empty before the planned number of seeds."""
    if difference is None or difference.interim or difference.verdict is not Verdict.INCONCLUSIVE:
        return ""
    if difference.more_seeds is None:
        return "; too small to detect with a practical number of seeds"
    kind = "fresh" if difference.fresh else "more"
    return f"; about {_seeds(range(difference.more_seeds), kind)} for {100 * comparison.power:.0f} % power"


def _paired(difference: Difference, comparison: Comparison) -> str:
    if comparison.setting.splits > 1:
        return f"{len(difference.values)} pairs of seed and split"
    return _seeds(difference.values, "paired")


def _seeds(seeds: Sized, kind: str = "") -> str:
    return f"{len(seeds)} {kind} seed{'' if len(seeds) == 1 else 's'}".replace("  ", " ")


def status_line(report: Report) -> str:
    """`18 finished, 2 running (40 %, 65 %), 1 failed`."""
    words = []
    for status, count in report.counts.items():
        shares = [t.progress for t in report.trials if t.status == status and t.progress is not None]
        listed = status in (Status.RUNNING, Status.PAUSED, Status.STOPPED) and 0 < len(shares) <= 4
        words.append(f"{count} {status}" + (f" ({', '.join(f'{100 * s:.0f} %' for s in shares)})" if listed else ""))
    return ", ".join(words)
