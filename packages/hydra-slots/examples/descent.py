"""Minimises Rosenbrock's function from a random point: a complete application for hydra-slots, without dependencies.

python descent.py optimizer=adagrad                             one run, as with Hydra alone
python descent.py -m optimizer=sgd,momentum,adagrad seed=0,1    a sweep
python descent.py -m hydra.sweeper.sweep=rates                  the sweep in sweeps/rates.yaml

A trial writes to its folder a checkpoint, from which the same command resumes it, and metrics for the live display.
"""

import json
import os
import pickle
import random
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

import hydra_slots

# Defaults of this application; in conf/config.yaml they would prevent hydra/launcher=basic, which does not have them.
hydra_slots.register(
    launcher={"columns": {"step": "step", "loss": "loss"}, "lower_is_better": True},
    sweeper={"ignore": ["pause"]},  # does not change a result
)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    """The value of the function after `cfg.steps` steps."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        step, point, velocity, square = pickle.loads(checkpoint.read_bytes())
        print(f"resumed at step {step}")
    else:
        dice = random.Random(cfg.seed)
        step, point, velocity, square = 0, [dice.uniform(-2, 2), dice.uniform(-2, 2)], [0.0, 0.0], [0.0, 0.0]
    while step < cfg.steps:
        for i, slope in enumerate(gradient(*point)):
            slope = max(-cfg.clip, min(cfg.clip, slope))
            velocity[i] = cfg.optimizer.momentum * velocity[i] + slope
            square[i] += cfg.optimizer.adapt * slope**2
            point[i] -= cfg.optimizer.lr * velocity[i] / (square[i] ** 0.5 if cfg.optimizer.adapt else 1)
        step += 1
        time.sleep(cfg.pause)
        if step % 100 == 0:
            save(checkpoint, (step, point, velocity, square))
            with open(folder / "metrics.jsonl", "a") as file:
                print(json.dumps({"progress": step / cfg.steps, "step": step, "loss": value(*point)}), file=file)
    return value(*point)


def value(x: float, y: float) -> float:
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


def gradient(x: float, y: float) -> tuple[float, float]:
    return 2 * (x - 1) - 400 * x * (y - x * x), 200 * (y - x * x)


def save(path: Path, state: object) -> None:
    """Replace the checkpoint: it is never half written."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(pickle.dumps(state))
    os.replace(partial, path)


if __name__ == "__main__":
    main()
