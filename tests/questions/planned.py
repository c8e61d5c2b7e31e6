"""Planned trials without a sweeper, and finished ones without training."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from hydra_slots import PlannedTrial
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.questions.flat import flatten
from rdrop_exp.questions.selector import with_labels

NONE: dict[str, Any] = {"name": "none"}
DROPOUT = {"name": "dropout", "dropout": 0.1}
RDROP = {"name": "rdrop", "dropout": 0.1, "alpha": 0.5}
EARLY = {"name": "early_dropout", "dropout": 0.1, "when": "early", "cutoff_epoch": 5}


def planned(root: Path, regularizer: dict[str, Any], seed: int = 0, **options: Any) -> PlannedTrial:
    values = {"regularizer": regularizer, "seed": seed, "name": "demo", "output_dir": str(root)} | options
    spec = trial_spec(from_dict(values))
    folder = root / "demo" / f"{spec.name}-{spec.identity}"
    o = dataclasses.asdict(spec.options)
    return PlannedTrial(spec.identity, str(folder), folder.name, spec.group, options=o)


def plan(root: Path, *regularizers: dict[str, Any], seeds: int = 8, **options: Any) -> list[PlannedTrial]:
    return [planned(root, regularizer, seed, **options) for regularizer in regularizers for seed in range(seeds)]


def groups(trials: list[PlannedTrial]) -> dict[str, dict[str, Any]]:
    return {trial.group: with_labels(flatten(trial.options), trial.options) for trial in trials}


def finish(trial: PlannedTrial, accuracy: Any, folder: Path | None = None, **more: Any) -> None:
    """Write the result of a planned trial: test accuracy as a share."""
    folder = folder or Path(trial.folder)
    folder.mkdir(parents=True)
    result = {"status": "finished", "group": trial.group, "options": trial.options, "identity": trial.identity}
    result |= {"metrics": {"test/accuracy": accuracy}} | more
    (folder / "result.json").write_text(json.dumps(result))
