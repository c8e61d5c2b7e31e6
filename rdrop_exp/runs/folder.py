"""Where a trial lives and what it leaves: light enough for planning a sweep without torch."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from rdrop_exp.config.identity import identity, readable_name
from rdrop_exp.config.options import Options


def trial_folder(o: Options) -> Path:
    """`<output_dir>/<name>/<readable-name>-<identity>`; a folder of the same identity under another label is reused."""
    experiment, known = Path(o.output_dir) / o.name, identity(o)
    existing = sorted(experiment.glob(f"*-{known}"))
    return existing[0] if existing else experiment / f"{readable_name(o)}-{known}"


def read_result(folder: Path) -> dict[str, Any] | None:
    """The trial's result.json, or None where there is none that can be read."""
    try:
        result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result


def finished(folder: Path) -> bool:
    """Whether the trial in this folder is done and need not run again."""
    result = read_result(folder)
    return result is not None and result.get("status") == "finished"


def describe(o: Options) -> dict[str, Any]:
    """What result.json says of the options: who the trial is, and its group (all that differ from it by the seed)."""
    return {
        "identity": identity(o),
        "group": identity(o, seeded=False),
        "name": readable_name(o),
        "experiment": o.name,
        "options": dataclasses.asdict(o),
    }
