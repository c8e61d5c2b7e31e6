"""A trial's folder: where it is, and every file in it that is read by more than its writer. Needs no torch.

config.yaml      the options, for people
trial.json       who the trial is: identity, group, name, experiment, options, command, device, versions
metrics.jsonl    a row of metrics at each log point
checkpoint.pt    the state while it trains, the tested weights afterwards (`train.checkpoint`)
log.txt          what it said
result.json      trial.json with the outcome; written last
"""

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import TrialSpec, trial_spec
from rdrop_exp.launch.protocol import atomic_file, finished, last_row, read_result, write_result

__all__ = [
    "atomic_file",
    "describe",
    "finished",
    "last_row",
    "read_result",
    "read_rows",
    "read_start",
    "trial_folder",
    "write_result",
    "write_start",
]


def trial_folder(spec: TrialSpec) -> Path:
    """`<output_dir>/<name>/<readable-name>-<identity>`; a folder of the same identity under another label is reused."""
    experiment = Path(spec.options.output_dir) / spec.options.name
    existing = sorted(experiment.glob(f"*-{spec.identity}"))
    return existing[0] if existing else experiment / f"{spec.name}-{spec.identity}"


def describe(spec: TrialSpec) -> dict[str, Any]:
    """What trial.json and result.json say of the options."""
    return {
        "identity": spec.identity,
        "group": spec.group,
        "name": spec.name,
        "experiment": spec.options.name,
        "options": dataclasses.asdict(spec.options),
    }


def write_start(folder: Path, about: dict[str, Any]) -> None:
    """Say at the start who the trial is."""
    import yaml  # type: ignore[import-untyped]

    with atomic_file(folder / "config.yaml") as file:
        yaml.safe_dump(about["options"], file, sort_keys=False)
    with atomic_file(folder / "trial.json") as file:
        json.dump(about, file, indent=1)


def read_start(folder: str | Path) -> dict[str, Any]:
    """What the trial said of itself at its start; ValueError or OSError where that cannot be read.

    Folders of earlier versions have no trial.json: there it follows from the options in config.yaml.
    """
    try:
        about = json.loads((Path(folder) / "trial.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return describe(trial_spec(from_dict(_read_config(Path(folder) / "config.yaml"))))
    if not isinstance(about, dict):
        raise ValueError("trial.json holds no trial")
    return about


def _read_config(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(values, dict):
        raise ValueError("config.yaml holds no options")
    return values


def read_rows(folder: str | Path, most: int | None = None, always: Collection[bytes] = ()) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl, in order; empty where there is none, and without broken or half-written rows.

    Of more than `most`, every k-th is read, the last, and those whose text holds one of `always`.
    """
    try:
        lines = (Path(folder) / "metrics.jsonl").read_bytes().splitlines()
    except OSError:
        return []
    if most is not None and len(lines) > most:
        stride, last = len(lines) // most + 1, len(lines) - 1
        lines = [line for i, line in enumerate(lines) if i % stride == 0 or i == last or any(k in line for k in always)]
    try:
        rows = json.loads(b"[" + b",".join(lines) + b"]")  # all at once is twice as fast
    except ValueError:
        rows = [row for line in lines if (row := _parse(line)) is not None]
    return [row for row in rows if isinstance(row, dict)]


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
