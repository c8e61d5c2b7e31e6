"""What is known of the given setting before its first trial: sizes, noise sites, and what a trial costs."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from rdrop_exp.choose.launching import TIMED_STEPS, cost
from rdrop_exp.choose.setting import examine
from rdrop_exp.config.options import Options
from rdrop_exp.config.registry import TASKS
from rdrop_exp.noise.install import InstalledNoise, install_noise
from rdrop_exp.tasks import images

SETS = {"train": 64, "validation": 20, "test": 30}


def vectors(classes: int) -> Any:
    """A plugin's task that is neither images nor text: 64 vectors of 8 numbers."""

    def build(o: Options, spec: Any, device: torch.device) -> tuple[nn.Module, InstalledNoise]:
        network = nn.Sequential(nn.Linear(8, 4), nn.Dropout(), nn.Linear(4, classes))
        return network, install_noise(network, o.regularizer, o.model.sites)

    counts = {"train": {str(i): 64 // classes for i in range(classes)}}
    data = SimpleNamespace(spec=None, steps_per_epoch=4, batch_size=16, sizes=SETS, counts=counts)
    return lambda o: replace(images.task(), load=lambda *_: data, build=build, fingerprint=lambda _: "vectors")


@pytest.mark.parametrize("classes", [1, 2])
def test_the_task_of_a_plugin(hydra_config: None, monkeypatch: pytest.MonkeyPatch, classes: int) -> None:
    monkeypatch.setitem(TASKS, "vectors", vectors(classes))
    words = {"dataset.name": "vectors", "schedule.epochs": "3"}
    if classes == 1:
        with pytest.raises(ValueError, match="one class"):
            examine(words, [])
        return
    given = examine(words, [])
    assert (given.steps, given.sizes, given.fingerprint) == (12, SETS, "vectors")
    assert (given.noise, given.branches) == ("dropout", False)


def test_a_trial_costs_what_its_later_steps_and_its_evaluation_take(hydra_config: None, tmp_path: Path) -> None:
    given = examine(
        {"schedule.epochs": "8", "validate_every": "2", "dataset.limit": "5", "optimizer.batch_size": "32"}, []
    )
    assert (given.steps, given.evaluated(40, 5), given.evaluated(TIMED_STEPS, 5)) == (40, 4 * 145 + 320, 900)
    given = replace(given, o=replace(given.o, validate_every=1))
    rows = [{"step": 5 * (i + 1), "images_per_second": speed} for i, speed in enumerate((10, 640, 640, 640, 640, 640))]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    steps = TIMED_STEPS * 32
    result = {"status": "finished", "seconds": 20.0 + 1.5, "images_per_second": steps / 20}
    (tmp_path / "result.json").write_text(json.dumps(result))
    known = cost(given, tmp_path, 5, 25.0)
    assert known.startup == 3.5
    evaluation = 1.5 * (8 * 145 + 320) / (7 * 145 + 320)
    assert known.trial == pytest.approx(40 * 32 / 640 + evaluation)
