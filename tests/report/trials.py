"""Trial folders by the contract of `rdrop_exp.train.loop`, written without training anything."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import yaml

from rdrop_exp.config.canonical import canonical
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.comparison import Comparison

BASE: dict[str, Any] = {
    "model": {"name": "vit_micro", "label": "vit_micro"},
    "schedule": {"epochs": 10},
    "logger": {"wandb": "disabled"},
}
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # ten times as fast, where it is there

SPEED = 1000 * 128.0
"""Images of a trial: its steps times the batch."""

NONE: dict[str, Any] = {"name": "none"}
RDROP = {"name": "rdrop", "dropout": 0.1, "alpha": 0.5}
EARLY = {"name": "early_dropout", "dropout": 0.1, "when": "early", "cutoff_epoch": 5, "ramp": "linear"}


def write_trial(
    root: Path,
    regularizer: dict[str, Any],
    seed: int,
    test: float = 0.9,
    val: float | None = None,
    *,
    status: str = "finished",
    rows: int = 10,
    experiment: str = "demo",
    seconds: float = 60.0,
    result: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """One trial under root/experiment. `status`: finished, failed, or started (no result); accuracies as shares."""
    values = BASE | {"name": experiment, "seed": seed, "regularizer": regularizer} | options
    checked = canonical(from_dict(values))[0]
    identity = trial_spec(checked).identity
    folder = root / experiment / f"{trial_spec(checked).name}-{identity}"
    folder.mkdir(parents=True)
    nested = dataclasses.asdict(checked)
    (folder / "config.yaml").write_text(yaml.dump(nested, Dumper=DUMPER, sort_keys=False))
    val = test if val is None else val
    done = 1.0 if status == "finished" else 0.4
    lines = [json.dumps(row) + "\n" for row in curve(rows, val, checked, SPEED / seconds, done)]
    (folder / "metrics.jsonl").write_text("".join(lines))
    if status == "started":
        return folder
    written = {
        "identity": identity,
        "group": trial_spec(checked).group,
        "name": trial_spec(checked).name,
        "experiment": experiment,
        "status": status,
        "options": nested,
        "metrics": {
            "val/accuracy": val, "val/loss": 1 - val, "test/accuracy": test, "test/loss": 1 - test,
            "train/loss": (1 - val) / 2, "train/accuracy": (1 + val) / 2,
        },
        "best_epoch": 9,
        "steps": 1000,
        "seconds": seconds,
        "images_per_second": SPEED / seconds / 3,  # with warm-up
        "command": f"rdrop-exp -m sweep={experiment}",
        "device": "cpu",
        "versions": {"rdrop_exp": "0.1.0", "torch": "2.15.0", "timm": "1.0.31", "python": "3.11.9"},
    }  # fmt: skip
    if status == "failed":
        written |= {"error": "the loss is not finite at step 120", "metrics": {}}
    (folder / "result.json").write_text(json.dumps(written | (result or {}), indent=1))
    return folder


def curve(rows: int, val: float, options: Any, speed: float, share: float = 1.0) -> list[dict[str, float]]:
    """Rows of metrics.jsonl that approach `val`, with the drop rate as the regularizer schedules it."""
    epochs, written = options.schedule.epochs, []
    r = options.regularizer
    for i in range(1, max(1, round(rows * share)) + 1):
        epoch = epochs * i / rows
        near = val * (1 - math.exp(-4 * i / rows))
        rate = r.dropout * (max(0.0, 1 - epoch / r.cutoff_epoch) if r.when == "early" else 1.0)
        row = {
            "step": 100 * i, "epoch": epoch, "progress": i / rows,
            "train/loss": 1 - near * 0.95, "train/cross_entropy": 1 - near, "train/accuracy": near * 1.02,
            "rate/dropout": rate, "rate/drop_path": r.drop_path, "lr": 1e-3,
            "images_per_second": speed if i > 1 else speed / 9,
        }  # fmt: skip
        if i % max(1, rows // 10) == 0:
            row |= {"val/accuracy": near, "val/loss": 1 - near}
        written.append(row)
    return written


def write(root: Path, regularizer: dict[str, Any], values: list[float], **more: Any) -> None:
    """A trial for each test accuracy, seeds from 0."""
    for seed, value in enumerate(values):
        write_trial(root, regularizer, seed, value, **more)


def only(root: Path, baseline: str = "", metric: str = "") -> Comparison:
    """The comparison of trials of one setting."""
    (comparison,) = make_report([root], baseline, metric).comparisons
    return comparison


def labels(comparison: Comparison) -> list[str]:
    return [row.label for row in comparison.rows]
