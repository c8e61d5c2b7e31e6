"""Of the probe's tests: a cost by hand, and trials with results that nothing was trained for."""

import json
from pathlib import Path

from rdrop_exp.probe.budget import TrialCost
from rdrop_exp.probe.conditions import Condition, ProbeTrial

COST = TrialCost(images_per_second=100, startup=10, steps=1000, batch_size=10, evaluated=3000, workers=2)


def write_results(root: Path, values: dict[tuple[Condition, float, int], float]) -> tuple[list[ProbeTrial], list[Path]]:
    """Trials and their folders, with a result where the value is not 0."""
    trials, folders = [], []
    for (condition, rate, seed), value in values.items():
        folder = root / f"{condition.name}-{rate}-{seed}"
        folder.mkdir()
        if value:
            metrics = {"val/accuracy": value, "train/accuracy": 0.999}
            (folder / "result.json").write_text(json.dumps({"status": "finished", "metrics": metrics}))
        trials.append(ProbeTrial(condition, rate, seed, {}))
        folders.append(folder)
    return trials, folders
