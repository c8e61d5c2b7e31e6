"""The description of a named sweep in sweep.yaml, which the sweeper writes next to its trials:

sweep, title, answers, baseline and name as in the sweep's file, and `arguments`, the overrides of the command line.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdrop_exp.report.text import one_line
from rdrop_exp.runs.folder import read_yaml


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """Texts of a sweep, empty if missing; `command` reproduces it."""

    folder: Path
    title: str = ""
    question: str = ""
    baseline: str = ""
    """Label or regularizer of a group."""
    command: str = ""


def read_sweeps(folders: Iterable[Path]) -> list[Sweep]:
    """The sweeps of the experiment folders that contain a readable sweep.yaml."""
    return [sweep for folder in sorted(set(folders)) if (sweep := _read(folder)) is not None]


def _read(folder: Path) -> Sweep | None:
    path = folder / "sweep.yaml"
    if not path.is_file():
        return None
    try:
        content = read_yaml(path)
    except (OSError, ValueError):
        return None
    texts = {name: one_line(value) for name, value in content.items() if isinstance(value, str)}
    name, arguments = (
        texts.get("sweep", ""),
        [one_line(a) for a in _list(content.get("arguments")) if isinstance(a, str)],
    )
    if folder.name != texts.get("name", name) and not any(a.startswith("name=") for a in arguments):
        arguments.append(f"name={folder.name}")
    return Sweep(
        folder=folder,
        title=texts.get("title", "") or name,
        question=texts.get("answers", ""),
        baseline=texts.get("baseline", "").removeprefix("regularizer="),
        command=shlex.join(["rdrop-exp", "-m", f"sweep={name}", *arguments]) if name else "",
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
