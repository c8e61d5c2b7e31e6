"""What a comparison lacks, in sentences: seeds, values, like devices. Labels are in `backticks`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rdrop_exp.report.groups import Group

if TYPE_CHECKING:
    from rdrop_exp.report.compare import Comparison


def notes(made: "Comparison") -> list[str]:
    """Seeds that a pair lacks, trials without the metric, and devices that make costs incomparable."""
    base, name, best = made.baseline, made.metric.name, made.best
    notes = []
    for row in made.rows[: made.rows.index(best)] if best else []:
        few = f"{len(row.val.values)} seed{'s' if len(row.val.values) > 1 else ''}"
        notes.append(f"`{row.label}` is ahead on validation, but with too few seeds to be called best ({few}).")
    have = getattr(base, made.measure).values.keys()
    base_lacks: set[int] = set()
    for row in made.rows:
        own = getattr(row, made.measure).values.keys()
        if have and own:
            base_lacks |= own - have
            if lost := have - own:
                notes.append(f"`{row.label}` lacks {_seeds(lost, row.group)}, which `{base.label}` has.")
        for part in ("val", made.measure):
            finished = {trial.seed for trial in row.group.having("finished")}
            if lost := finished - getattr(row, part).values.keys():
                notes.append(f"`{row.label}` has no finite {part}/{name} for {_seeds(lost)}.")
                break
    if base_lacks:
        notes.append(f"The baseline `{base.label}` lacks {_seeds(base_lacks, base.group)}, which other groups have.")
    devices = {trial.device for row in made.rows for trial in row.group.having("finished") if trial.device}
    if len(devices) > 1:
        notes.append(f"Times are from different devices ({', '.join(sorted(devices))}): compare costs with care.")
    return notes


def _seeds(seeds: Iterable[int], group: Group | None = None) -> str:
    """`seeds 3 (failed) and 4 (running)`."""
    status = {trial.seed: trial.status for trial in group.trials if trial.status != "finished"} if group else {}
    words = [f"{seed} ({status[seed]})" if seed in status else str(seed) for seed in sorted(seeds)]
    return f"seed{'s' if len(words) > 1 else ''} {in_words(words)}"


def in_words(words: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
