"""A trial's folder: where it is, and every file in it that is read by more than its writer. Needs no torch.

config.yaml      the options, for people
trial.json       who the trial is: identity, group, name, experiment, options, command, device, versions, code
code.diff        what differed from the git commit; only where something did (`runs.code`)
environment.txt  the installed packages with their versions
metrics.jsonl    a row of metrics at each log point
checkpoint.pt    the state while it trains, the tested weights afterwards (`train.checkpoint`)
items.npz        whether each validation and test item was correct (`runs.items`)
generated.jsonl  source, reference and generated text of each test item, where the task generates texts (`runs.items`)
log.txt          what it said
result.json      trial.json with the outcome; written last
"""

import dataclasses
import errno
import json
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hydra_slots.protocol import atomic_file, finished, last_row, paused, read_result, write_result
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import TrialSpec, trial_spec
from rdrop_exp.config.schema import OptionError, shown
from rdrop_exp.runs import code
from rdrop_exp.runs.items import GENERATED, read_items, write_generated, write_items
from rdrop_exp.runs.listing import listing
from rdrop_exp.runs.parse import read_json, read_yaml

__all__ = [
    "atomic_file",
    "describe",
    "finished",
    "last_row",
    "load_result",
    "made_by",
    "make_folder",
    "paused",
    "place_trial",
    "read_items",
    "read_result",
    "read_rows",
    "read_start",
    "read_yaml",
    "same_code_key",
    "sample_rows",
    "trial_folder",
    "write_generated",
    "write_items",
    "write_result",
    "write_start",
]

FILES = (
    "config.yaml", "trial.json", "code.diff", "environment.txt", "metrics.jsonl", "checkpoint.pt", "items.npz",
    GENERATED, "log.txt", "result.json",
)  # fmt: skip
"""What a trial writes into its folder, beside its lock."""


def trial_folder(spec: TrialSpec) -> Path:
    """`<output_dir>/<name>/<readable-name>-<identity>`; a folder of the same identity under another label is reused.

    Of several, that of the current code (`same_code`).
    """
    experiment = Path(spec.options.output_dir) / spec.options.name
    existing = [experiment / name for name in listing(experiment).of_identity(spec.identity)]
    if len(existing) > 1:
        existing.sort(key=lambda folder: not code.same(made_by(folder)))
    return existing[0] if existing else experiment / f"{spec.name}-{spec.identity}"


def place_trial(spec: TrialSpec) -> tuple[TrialSpec, Path, str]:
    """The trial with the identity it goes by, its folder, and a sentence where its data has changed.

    With `same_code`, what other or unknown code has begun stays as it is, and the trial gets a folder beside it.
    """
    spec, folder, changed = _place(spec)
    if spec.options.same_code and folder.exists() and not code.same(made_by(folder)):
        key = code.key(code.current(spec.options))
        folder = folder.with_name(f"{spec.name}-code-{key}-{spec.identity}")
    return spec, folder, changed


def same_code_key(folder: Path) -> str:
    """The key of the code for which `same_code` made the folder; empty for others."""
    match = re.search("-code-([0-9a-f]{16})-[0-9a-f]+$", folder.name)
    return match[1] if match else ""


def _place(spec: TrialSpec) -> tuple[TrialSpec, Path, str]:
    """As `place_trial`, by whichever code.

    The same data under another path is the trial that is there; other data under the same path is a new trial, named by
    its data.
    """
    folder = trial_folder(spec)
    if not spec.data_identity:
        return spec, folder, ""
    for name in listing(folder.parent).beginning(f"{spec.name}-"):
        other = folder.parent / name
        about = _start_or_nothing(other)
        if about.get("data_identity") == spec.data_identity and about.get("identity"):
            return dataclasses.replace(spec, identity=str(about["identity"])), other, ""
    if _start_or_nothing(folder).get("data_identity", spec.data_identity) == spec.data_identity:
        return spec, folder, ""
    changed = f"{spec.options.dataset.root} has changed since {folder.name}: this is a new trial"
    spec = dataclasses.replace(spec, identity=spec.data_identity)
    return spec, trial_folder(spec), changed


def make_folder(folder: Path) -> None:
    """Create a trial's folder; `OptionError` where `output_dir` is no place for it, or a file's place is taken."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):  # the option is not to blame
            raise
        raise OptionError(f"output_dir: {shown(folder)} cannot be created or written: {error.strerror}") from error
    for path in (folder / f"{name}{ending}" for name in FILES for ending in ("", ".partial")):
        if path.exists() and not path.is_file():  # writing to a named pipe would wait for ever
            raise OptionError(f"output_dir: {path} is in the place of a trial's file: remove it")


def _start_or_nothing(folder: Path) -> dict[str, Any]:
    try:
        return read_start(folder)
    except (OSError, ValueError):
        return {}


def describe(spec: TrialSpec) -> dict[str, Any]:
    """What trial.json and result.json say of the options."""
    return {
        "identity": spec.identity,
        "group": spec.group,
        "name": spec.name,
        "experiment": spec.options.name,
        **({"data_identity": spec.data_identity} if spec.data_identity else {}),
        "options": dataclasses.asdict(spec.options),
    }


def write_start(folder: Path, about: dict[str, Any]) -> None:
    """Say at the start who the trial is."""
    import yaml  # type: ignore[import-untyped]

    with atomic_file(folder / "config.yaml") as file:
        yaml.safe_dump(about["options"], file, sort_keys=False)
    with atomic_file(folder / "trial.json") as file:
        json.dump(about, file, indent=1)
    code.write_beside(folder)


def made_by(folder: str | Path) -> code.Code:
    """What trial.json says of the code that made the trial; empty: unknown."""
    try:
        return code.recorded(read_json(os.path.join(folder, "trial.json")))
    except (OSError, ValueError):
        return {}


def read_start(folder: str | Path) -> dict[str, Any]:
    """What the trial said of itself at its start; ValueError or OSError where that cannot be read.

    Folders of earlier versions have no trial.json: there it follows from the options in config.yaml.
    """
    try:
        return read_json(os.path.join(folder, "trial.json"))
    except FileNotFoundError:
        return describe(trial_spec(from_dict(read_yaml(Path(folder) / "config.yaml"))))


def load_result(folder: str | Path) -> dict[str, Any]:
    """What result.json holds, as `read_result`; ValueError or OSError, with the reason, where it cannot be read."""
    return read_json(os.path.join(folder, "result.json"))


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
        kept = set(range(0, last, stride)) | {last}
        if always:
            kept |= {i for i, line in enumerate(lines) if any(key in line for key in always)}
        lines = [lines[i] for i in sorted(kept)]
    return _parse_rows(lines)


def sample_rows(folder: str | Path, count: int) -> list[dict[str, Any]]:
    """About `count` rows of metrics.jsonl, at even distances, without reading a long file whole; empty without one."""
    try:
        with open(os.path.join(folder, "metrics.jsonl"), "rb") as file:
            size, lines = os.fstat(file.fileno()).st_size, []
            for i in range(count):
                position = i * size // count
                if position >= file.tell():  # else in a row that has been read
                    file.seek(position)
                    if position:
                        file.readline()  # the rest of a row
                    lines.append(file.readline())
    except OSError:
        return []
    return _parse_rows([line for line in lines if line.endswith(b"\n")])


def _parse_rows(lines: list[bytes]) -> list[dict[str, Any]]:
    try:
        rows = json.loads(b"[" + b",".join(lines) + b"]")  # all at once is twice as fast
    except (ValueError, RecursionError):
        rows = [row for line in lines if (row := _parse(line)) is not None]
    return [row for row in rows if isinstance(row, dict)]


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
