"""rdrop-report --confirm: train the winner of a comparison and its baseline on fresh seeds, in a folder of their own.

The winner was chosen among groups on the same trials, so its estimate is optimistic. `<folder>_confirm/confirm.yaml` is
a named sweep of the two groups alone, written before anything is trained; where it exists, it is resumed as planned.
"""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from rdrop_exp.config.schema import OptionError
from rdrop_exp.report.collect import collect
from rdrop_exp.report.commands import words_of
from rdrop_exp.report.comparison import Comparison, Report, Row, Verdict
from rdrop_exp.report.groups import settings
from rdrop_exp.report.trial import Status, Trial
from rdrop_exp.runs.folder import atomic_file, read_yaml
from rdrop_exp.statistics.power import seeds_needed

FEWEST, MOST = 5, 50
"""Seeds that are planned without a number given."""
LARGEST = 1000
ENDING = "_confirm"
SWEEP = "confirm"
"""The sweep's name and file."""
OWN = ("seed", "name", "output_dir")
"""Options that the confirmation sets itself."""


def confirm(report: Report, number: int | None, passed: list[str]) -> Path:
    """Run the confirmation, or resume the one that is there, and return its folder; `OptionError` if there is none.

    `number` of fresh seeds: None for the projected power. `passed`: further words for rdrop-exp.
    """
    if number is not None and not 2 <= number <= LARGEST:
        raise OptionError(f"--confirm={number} must be from 2 to {LARGEST}")
    comparison, winner = _winner(report)
    experiment = _first(winner).folder.parent
    if not experiment.name:  # the current folder
        experiment = experiment.resolve()
    folder = experiment.with_name(experiment.name + ENDING)
    path = folder / f"{SWEEP}.yaml"
    if not path.is_file():
        seeds, why = (number, "") if number else _projected(comparison, winner)
        content = _sweep(report, comparison, winner, folder, seeds)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            _dump(content, file)
        _say(f"{content['title']}: {seeds} fresh seeds each{why}.")
    elif number not in (None, planned := _planned(path)):
        raise OptionError(f"--confirm={number}: {folder} was planned with {planned} seeds; rename it to start another")
    _run(folder, passed)
    known = {trial.group for trial in report.trials}
    if path.with_name("sweep.yaml").is_file() and any(trial.group not in known for trial in collect([folder])[0]):
        raise OptionError(f"{folder} has trials with other options than those confirmed: a preset has changed since")
    return folder


def _winner(report: Report) -> tuple[Comparison, Row]:
    """The first setting with a best group that is better on test, or the only one with any; and that group."""
    reasons, found = [], []
    for comparison in report.comparisons:
        best, base = comparison.best, comparison.baseline
        if best is None:
            reasons.append("no trial has finished")
        elif best is base:
            reasons.append(f"nothing to confirm: the baseline {base.label} is best on validation")
        elif best.difference is None or not best.difference.values:
            reasons.append(f"{best.label} and the baseline {base.label} have finished no seed in common")
        else:
            found.append((comparison, best))
    better = [(c, row) for c, row in found if row.difference and row.difference.verdict is Verdict.BETTER]
    if not found:
        raise OptionError(f"--confirm: {reasons[0] if reasons else 'no trial could be read'}")
    if len(found) > 1 and not better:
        names = "; ".join(comparison.setting.label for comparison, _ in found)
        raise OptionError(
            f"--confirm: no significant result in any of {len(found)} settings ({names}); name one's folder"
        )
    return (better or found)[0]


def _planned(path: Path) -> Any:
    """Seeds in the file of a confirmation; what else is wrong with the file is for the sweep to say."""
    try:
        return read_yaml(path).get("seeds")
    except ValueError:
        return None


def _projected(comparison: Comparison, winner: Row) -> tuple[int, str]:
    """Seeds for the wanted power at the observed effect, within limits; and what to say about that."""
    difference = winner.difference
    assert difference is not None
    if not difference.sd or difference.mean is None:
        raise OptionError(
            "--confirm: the spread between seeds is unknown; choose the number of seeds, as in --confirm 8"
        )
    needed = seeds_needed(difference.mean, difference.sd, wanted=comparison.power)
    seeds = max(FEWEST, min(needed or MOST, MOST))
    power = f"{100 * comparison.power:.0f} % power at the observed effect"
    if seeds == needed:
        return seeds, f", for {power}"
    limit = "at least" if seeds == FEWEST else "at most"
    return seeds, f" ({power} needs {needed or 'too many'}; {limit} {seeds} are planned without a number given)"


def _sweep(report: Report, comparison: Comparison, winner: Row, folder: Path, seeds: int) -> dict[str, Any]:
    """The sweep file: two grids, one for each group, over seeds that no trial of the report has."""
    rows, first = (comparison.baseline, winner), 1 + max(trial.seed for trial in report.trials)
    (setting,) = settings([trial for row in rows for trial in row.group.trials])  # labels among these two alone
    base = _first(comparison.baseline)
    smallest = {sweep.smallest for sweep in report.sweeps if sweep.smallest}
    return {
        "title": f"Confirmation: {winner.label} against {comparison.baseline.label}",
        "baseline": next(group.label for group in setting.groups if base in group.trials),
        "name": folder.name,
        "seeds": seeds,
        **({"smallest": smallest.pop()} if len(smallest) == 1 else {}),
        "repeat": {"seed": list(range(first, first + seeds))},
        "overrides": {"output_dir": [str(folder.parent)]},
        "grids": [{"overrides": _overrides(_first(row), row.label)} for row in rows],
    }


def _first(row: Row) -> Trial:
    """A finished trial that stands for its group, rather not one of a confirmation."""
    finished = row.group.having(Status.FINISHED)
    return min(finished, key=lambda trial: (trial.folder.parent.name.endswith(ENDING), trial.key))


def _overrides(trial: Trial, label: str) -> dict[str, str]:
    """The trial's command without what the confirmation sets, as overrides of a sweep file."""
    words = words_of(trial.command)[1:]
    if not words or any("=" not in word for word in words) or any(word.startswith("sweep=") for word in words):
        raise OptionError(f"--confirm: the trials of {label} have not recorded a command that could be repeated")
    pairs = (word.partition("=")[::2] for word in words)
    return {key: value for key, value in pairs if key.lstrip("+") not in OWN}


def _dump(content: dict[str, Any], file: Any) -> None:
    import yaml  # type: ignore[import-untyped]

    yaml.safe_dump(content, file, sort_keys=False, width=120, allow_unicode=True)


def _run(folder: Path, passed: list[str]) -> None:
    """The sweep in a process of its own; its output goes to stderr, as stdout is for the report."""
    from hydra_slots.overrides import in_grammar

    words = ["-m", f"sweep={SWEEP}", f"hydra.sweeper.folder={in_grammar(str(folder))}", *passed]
    _say(shlex.join(["rdrop-exp", *words]))
    words.append("hydra.sweeper.summary=null")  # the report follows here
    process = subprocess.Popen([sys.executable, "-m", "rdrop_exp", *words], stdout=2)
    try:
        code = process.wait()
    except KeyboardInterrupt:  # the sweep receives it too, and saves its trials
        process.wait()
        raise SystemExit(130) from None
    if code:
        raise OptionError(f"the confirmation did not finish (exit code {code}): see above; the same command resumes it")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
