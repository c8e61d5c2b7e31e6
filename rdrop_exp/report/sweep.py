"""What a named sweep says of itself in sweep.yaml, which the sweeper leaves beside its trials."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rdrop_exp.report.text import one_line
from rdrop_exp.runs.folder import read_yaml


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """Texts of a sweep, empty where it has none; `command` runs it again."""

    folder: Path
    title: str = ""
    question: str = ""
    baseline: str = ""
    """Label or regularizer of a group."""
    command: str = ""


def read_sweeps(folders: Iterable[Path]) -> list[Sweep]:
    """The sweeps of experiments' folders, where these hold a readable sweep.yaml."""
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
    name = texts.get("sweep", "")
    renamed = f" name={folder.name}" if folder.name != texts.get("name", name) else ""
    return Sweep(
        folder=folder,
        title=texts.get("title", "") or name,
        question=texts.get("answers", ""),
        baseline=texts.get("baseline", "").rpartition("=")[2],
        command=texts.get("command", "") or (f"rdrop-exp -m sweep={name}{renamed}" if name else ""),
    )
