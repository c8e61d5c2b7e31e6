"""The answer in words: what is best, whether it is really better, what it would take to know; labels in `backticks`."""

from rdrop_exp.report.caveats import in_words
from rdrop_exp.report.compare import Comparison, Report, Row
from rdrop_exp.report.metric import interval, number, signed

NAMED = 2
"""Groups named in the sentence; the others are counted."""


def answers(report: Report) -> list[str]:
    """One sentence for each setting, with the setting's name in front where there are several."""
    several = len(report.comparisons) > 1
    return [f"On {c.setting.label}: {answer(c)}" if several else answer(c) for c in report.comparisons] or [
        f"No trial could be read: {status_line(report)}." if report.trials else "There is no trial yet."
    ]


def answer(comparison: Comparison) -> str:
    """The sentence for one setting; it claims a difference only where the Holm-corrected p-value is below 0.05."""
    main, others = halves(comparison)
    return f"{main}; {others}." if others else f"{main}."


def halves(comparison: Comparison) -> tuple[str, str]:
    """The sentence in two, without stops: what is best, and what cannot be told from the baseline (may be empty)."""
    best = comparison.best
    if best is None:
        return "No trial has finished yet", ""
    trials = [trial for row in comparison.rows for trial in row.group.trials]
    finished = sum(trial.status == "finished" for trial in trials)
    so_far = f"So far ({finished} of {len(trials)} trials finished), " if finished < len(trials) else ""
    return so_far + _main(comparison, best), _others(comparison, best)


def _main(comparison: Comparison, best: Row) -> str:
    base, metric, where = comparison.baseline, comparison.metric, comparison.measure
    level = f"{number(getattr(best, where).mean, metric)}{'%' if metric.scale == 100 else ''} {metric.name} on {where}"
    if len(comparison.rows) == 1:
        return f"`{best.label}` reaches {level} ({_seeds(best)}); there is no other group to compare it with"
    if best is base:
        return f"`{best.label}`, the baseline, is best on validation ({level}, {_seeds(best)})"
    head = f"`{best.label}` is best on validation"
    found = best.difference
    if found is None or found.mean is None:
        why = "has no finished trial" if getattr(base, where).mean is None else "has no seed in common with it"
        return f"{head} ({level}), but the baseline `{base.label}` {why}: whether it is better cannot be said"
    gain = signed(found.mean, metric)
    if found.verdict == "one seed":
        return f"{head}: {gain} over `{base.label}` on {where}, from one seed: there is no telling whether that is luck"
    if found.interval is None:
        each = f"in each of {len(found.seeds)} seeds, too alike for an interval"
        return f"{head}: {gain} over `{base.label}` on {where} {each}"
    measured = f"{gain} {interval(found.interval, metric)} over `{base.label}` on {where}, {len(found.seeds)} seeds"
    if found.verdict == "better":
        return f"{head}: {measured}"
    if found.verdict == "worse":
        return f"{head}, but worse than the baseline on {where}: {measured}"
    tests = sum(row.difference is not None and row.difference.p is not None for row in comparison.rows)
    if not found.interval[0] <= 0 <= found.interval[1]:  # say why an interval without zero is not enough
        measured += f", but p = {found.p_holm:.2f} after Holm's correction for {tests} comparisons"
    return f"{head}, but not distinguishable from the baseline: {measured}{_more(best)}"


def _others(comparison: Comparison, best: Row) -> str:
    """The groups beside the best that cannot be told from the baseline."""
    base = comparison.baseline
    open_ = [row for row in comparison.rows if row is not best and row.difference and row.difference.verdict == "open"]
    if not open_:
        return ""
    named = [f"`{row.label}`{_more(row)}" for row in open_[:NAMED]]
    rest = len(open_) - NAMED
    if rest > 0:
        named.append(f"{rest} more {'group' if rest == 1 else 'groups'}")
    if best.difference and best.difference.verdict == "open":
        return f"nor can {in_words(named)} be told from `{base.label}`"
    return f"not distinguishable from `{base.label}`: {in_words(named)}"


def _more(row: Row) -> str:
    found = row.difference
    if found is None or found.more_seeds is None:
        return " (no number of seeds in reach would tell)"
    return f" (about {found.more_seeds} more {'seed' if found.more_seeds == 1 else 'seeds'} would tell)"


def _seeds(row: Row) -> str:
    n = len(row.val.values)
    return f"{n} seeds" if n > 1 else "one seed"


def status_line(report: Report) -> str:
    """`18 finished, 2 running (40 %, 65 %), 1 failed`."""
    words = []
    for status, count in report.counts.items():
        shares = [t.progress for t in report.trials if t.status == status and t.progress is not None]
        done = status in ("running", "stopped") and 0 < len(shares) <= 4
        words.append(f"{count} {status}" + (f" ({', '.join(f'{100 * s:.0f} %' for s in shares)})" if done else ""))
    return ", ".join(words)
