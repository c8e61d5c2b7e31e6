"""The description of a named sweep in sweep.yaml, which the sweeper writes next to its trials:

sweep, title, answers, baseline, name, seeds, smallest, spread, expects and scale as in the sweep's file; `arguments`,
the overrides of the command line; and `planned`, the number of seeds of each group when it was first launched.
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdrop_exp.report.text import one_line
from rdrop_exp.runs.folder import read_yaml

ONE_CHOICE = re.compile(r"(?<==)choice\(([^(),]*)\)$")
"""As the sweeper writes `key=value`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """What a sweep.yaml holds, empty if missing; `command` reproduces the sweep."""

    folder: Path
    title: str = ""
    question: str = ""
    baseline: str = ""
    """Label or regularizer of a group."""
    command: str = ""
    seeds: int | None = None
    """Planned for every group; `planned` has those of single groups, by identity."""
    planned: dict[str, int] = field(default_factory=dict)
    smallest: float | None = None
    """The smallest difference worth having, in the unit of the report."""
    spread: float | None = None
    """A standard deviation of paired differences that is known beforehand, in the same unit."""
    expects: list[Any] = field(default_factory=list)
    """What it expects, as in the file: see `rdrop_exp.questions`."""


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
    name, scale = texts.get("sweep", ""), [f"scale={texts['scale']}"] if texts.get("scale") else []
    arguments = [ONE_CHOICE.sub(r"\1", one_line(a)) for a in _list(content.get("arguments")) if isinstance(a, str)]
    experiment = Path(texts.get("name", name))
    own_name = folder.parts[-len(experiment.parts) :] == experiment.parts
    if not own_name and not any(a.startswith("name=") for a in arguments):
        arguments.append(f"name={folder.name}")
    if name and (folder / f"{name}.yaml").is_file():  # beside its trials, as that of a confirmation
        from hydra_slots.overrides import in_grammar

        arguments.append(f"hydra.sweeper.folder={in_grammar(str(folder))}")
    return Sweep(
        folder=folder,
        title=texts.get("title", "") or name,
        question=texts.get("answers", ""),
        baseline=texts.get("baseline", "").removeprefix("regularizer="),
        command=shlex.join(["rdrop-exp", "-m", f"sweep={name}", *scale, *arguments]) if name else "",
        seeds=_seeds(content.get("seeds")),
        planned=_planned(content.get("planned")),
        smallest=_positive(content.get("smallest")),
        spread=_positive(content.get("spread")),
        expects=_list(content.get("expects")),
    )


def _planned(value: Any) -> dict[str, int]:
    given = value.items() if isinstance(value, dict) else ()
    return {str(group): seeds for group, number in given if (seeds := _seeds(number))}


def _seeds(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
