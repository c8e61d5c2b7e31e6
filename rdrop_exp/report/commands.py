"""The commands that reproduce the trials of a comparison, as few as possible."""

import shlex
from collections import defaultdict
from typing import Any

from rdrop_exp.report.comparison import Comparison
from rdrop_exp.report.sweep import Sweep
from rdrop_exp.report.trial import Status, Trial

COMMANDS = 20
"""Of more commands than this, only those of the best group and the baseline are listed."""


def commands(comparison: Comparison, sweeps: list[Sweep]) -> list[dict[str, Any]]:
    """[{command, trials}], `trials` it covers: the command of a named sweep, or else the trials' commands joined."""
    finished = [trial for row in comparison.rows for trial in row.group.having(Status.FINISHED)]
    named = {sweep.folder: sweep.command for sweep in sweeps if sweep.command}
    covered: dict[str, int] = defaultdict(int)
    for trial in finished:
        if command := named.get(trial.folder.parent):
            covered[command] += 1
    others = [trial for trial in finished if trial.folder.parent not in named]
    joined = join(_of(others))
    if len(joined) > COMMANDS:
        shown = {trial.group for row in (comparison.best, comparison.baseline) if row for trial in row.group.trials}
        joined = join(_of([trial for trial in others if trial.group in shown]))
    return [{"command": command, "trials": count} for command, count in [*covered.items(), *joined]][:COMMANDS]


def _of(trials: list[Trial]) -> list[str]:
    return [trial.command for trial in trials if trial.command]


def join(commands: list[str]) -> list[tuple[str, int]]:
    """Single-trial commands as sweeps that run exactly these trials, and how many each runs.

    `x a=1 seed=0`, `x a=1 seed=1`, `x a=2 seed=0`, `x a=2 seed=1` are `x -m a=1,2 seed=0,1`.
    """
    counts: dict[tuple[str, ...], int] = defaultdict(int)
    for command in commands:
        counts[tuple(words_of(command))] += 1
    for key in [
        "seed",
        *dict.fromkeys(word.partition("=")[0] for words in counts for word in words[1:] if "=" in word),
    ]:
        counts = _joined_over(key, counts)
    return [(_text(words), count) for words, count in counts.items()]


def words_of(command: str) -> list[str]:
    try:
        return shlex.split(command) if set(command) & {"'", '"', "\\"} else command.split()  # ten times as fast
    except ValueError:  # a quote without its partner
        return [command]


def _joined_over(key: str, counts: dict[tuple[str, ...], int]) -> dict[tuple[str, ...], int]:
    """Commands that differ only in the value of `key` become one."""
    alike: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for words, count in counts.items():
        values = [word.partition("=")[2] for word in words[1:] if word.partition("=")[0] == key]
        rest = tuple(f"{key}=" if word.partition("=")[0] == key and len(values) == 1 else word for word in words)
        alike[rest].append((values[0] if len(values) == 1 else "", count))
    joined = {}
    for rest, entries in alike.items():
        together = ",".join(sorted((value for value, _ in entries), key=_order))
        words = tuple(word + together if word == f"{key}=" else word for word in rest)
        joined[words] = sum(count for _, count in entries)
    return joined


def _order(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value


def _text(words: tuple[str, ...]) -> str:
    overrides = [word for word in words[1:] if word != "-m"]
    many = any("," in word.partition("=")[2] and word.partition("=")[2][0] not in "[{'\"(" for word in overrides)
    return shlex.join([words[0], *(["-m"] if many or "-m" in words else []), *overrides])
