"""Find trial folders and read each trial once."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rdrop_exp.config.schema import OptionError
from rdrop_exp.report.trial import SIGNS, TRIAL_NAME, Status, Trial, read_trial
from rdrop_exp.runs import code

_PREFERENCE = list(Status)


def collect(
    folders: Iterable[Path], known: dict[str, tuple[int, Trial]] | None = None, same_code: bool = False
) -> tuple[list[Trial], int]:
    """Every trial under the folders, once each, sorted by name; and the number of further copies.

    `known` keeps finished trials between calls; `same_code` leaves out trials of other or unknown code. `OptionError`
    for a missing folder, or where there is no trial at all.
    """
    folders = [Path(folder) for folder in folders]
    for folder in folders:
        if not folder.is_dir():
            raise OptionError(f"folder not found: {folder}")
    trials = [read_trial(path, files, known) for root in folders for path, files in _trial_folders(str(root))]
    if not trials:
        raise OptionError(f"no trials in {', '.join(map(str, folders))} (a trial is a folder with a config.yaml)")
    if same_code:
        trials = [trial for trial in trials if code.same(trial.code)]
        if not trials:
            raise OptionError(f"--same-code: no trial in {', '.join(map(str, folders))} was made by this code")
    chosen: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda t: (_PREFERENCE.index(t.status), -t.written)):
        chosen.setdefault(f"{trial.identity}{trial.data}" or str(trial.folder.resolve()), trial)
    return sorted(chosen.values(), key=lambda t: (t.folder.name, str(t.folder))), len(trials) - len(chosen)


def _trial_folders(root: str) -> Iterator[tuple[str, dict[str, os.DirEntry[str]]]]:
    """Trial folders at or under `root` with their files; hidden folders and W&B's are skipped, links followed once."""
    seen: set[str] = set()
    stack = [root]
    while stack:
        path = stack.pop()
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(path) as scanned:
                entries = {entry.name: entry for entry in scanned}
        except OSError:
            entries = {}
        inside = [e.path for name, e in entries.items() if name[0] != "." and name != "wandb" and e.is_dir()]
        if entries.keys() & SIGNS or (not inside and TRIAL_NAME.search(os.path.basename(path))):
            yield path, entries
        else:
            stack += inside
