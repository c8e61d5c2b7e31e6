"""What limits a comparison, in sentences: missing seeds and values, different devices. Labels are in `backticks`."""

from collections.abc import Iterable

from rdrop_exp.report.comparison import Comparison
from rdrop_exp.report.groups import Group
from rdrop_exp.report.trial import Status


def caveats(comparison: Comparison) -> list[str]:
    """Unpaired seeds, trials without the metric, and differing devices."""
    base, name, best = comparison.baseline, comparison.metric.name, comparison.best
    notes = []
    for row in comparison.rows[: comparison.rows.index(best)] if best else []:
        few = f"{len(row.val.values)} seed{'s' if len(row.val.values) > 1 else ''}"
        notes.append(f"`{row.label}` is ahead on validation, but has too few seeds to be called best ({few}).")
    of_base = getattr(base, comparison.measure).values.keys()
    missing_in_base: set[int] = set()
    for row in comparison.rows:
        of_row = getattr(row, comparison.measure).values.keys()
        if of_base and of_row:
            missing_in_base |= of_row - of_base
            if missing := of_base - of_row:
                notes.append(f"`{row.label}` has no result for {_seeds(missing, row.group)}; `{base.label}` does.")
        for part in ("val", comparison.measure):
            finished = {trial.seed for trial in row.group.having(Status.FINISHED)}
            if missing := finished - getattr(row, part).values.keys():
                notes.append(f"`{row.label}` has no finite {part}/{name} for {_seeds(missing)}.")
                break
    if missing_in_base:
        lost = _seeds(missing_in_base, base.group)
        notes.append(f"The baseline `{base.label}` has no result for {lost}; other groups do.")
    finished_trials = [trial for row in comparison.rows for trial in row.group.having(Status.FINISHED)]
    devices = sorted({trial.device for trial in finished_trials if trial.device})
    if len(devices) > 1:
        notes.append(f"Trials ran on different devices ({', '.join(devices)}): their times are not comparable.")
    return notes


def _seeds(seeds: Iterable[int], group: Group | None = None) -> str:
    """`seeds 3 (failed) and 4 (running)`."""
    status = {t.seed: t.status for t in group.trials if t.status != Status.FINISHED} if group else {}
    words = [f"{seed} ({status[seed]})" if seed in status else str(seed) for seed in sorted(seeds)]
    return f"seed{'s' if len(words) > 1 else ''} {in_words(words)}"


def in_words(words: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
