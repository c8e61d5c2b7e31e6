"""Of the analysis tests: trial folders with analyses that nothing was trained for, and small trials to measure."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rdrop_exp.analysis.gradient_meter import GradientMeter, MeterSettings
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.data.batch import Data
from rdrop_exp.data.load import load_data
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.train.setup import Setup, initial_network
from rdrop_exp.train.step import autocast
from tests.conftest import VIT, merged

CPU = torch.device("cpu")
CAST = autocast("fp32", CPU)


def prepared(*values: dict[str, Any]) -> tuple[Options, Data]:
    """Options of a small ViT with these values, and its data."""
    o = from_dict(merged(VIT, *values))
    return o, load_data(o.dataset, batch_size=o.optimizer.batch_size, seed=o.seed, device=CPU)


def gradient_meter(o: Options, data: Data, **settings: Any) -> GradientMeter:
    network, noise = initial_network(o, data.spec, CPU)
    return GradientMeter(setup_of(o, data, network, noise), MeterSettings(**settings))


def setup_of(o: Options, data: Data, network: nn.Module, noise: InstalledNoise | None = None) -> Setup:
    return Setup(options=o, network=network, noise=noise or InstalledNoise([]), data=data, device=CPU)


def append_analyses(folder: Path, values: dict[int, float], *, half_width: float | None = None) -> None:
    """Rows with `values` by step, of 100 steps in 10 epochs, and a last line that is cut off."""
    with (folder / "metrics.jsonl").open("a") as file:
        for step, value in values.items():
            row = {"step": step, "epoch": step / 10, "progress": step / 100}
            for name in ("direction_variance", "direction_error"):
                row[f"analysis/{name}"] = value
                if half_width is not None:
                    row |= {f"analysis/{name}_low": value - half_width, f"analysis/{name}_high": value + half_width}
            file.write(json.dumps(row) + "\n")
        file.write('{"step": 99, "analysis/direction_er')
