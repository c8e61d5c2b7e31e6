"""What a launcher costs: seconds to start a sweep and seconds per trial, against Hydra's `basic` and `joblib`.

python benchmarks/overhead.py          (about two minutes; needs hydra-joblib-launcher)

Every launcher runs the same sweeps of the same application, in turns, each as a command of its own, with two workers
(`basic` has one process). Trials sleep, so that other load on the machine matters little. `start`: a sweep of one trial
that does nothing. `per trial`: the slope from there to 41 of them. `work`: 20 trials that sleep for 0.5 s each. The
application takes a second to import, as with torch; each worker process imports it once. Medians of `--rounds` rounds.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

APP = """
import time
import hydra

time.sleep(1)  # as if it imported torch

@hydra.main(version_base=None, config_path=None)
def main(cfg):
    time.sleep(cfg.t)
    return cfg.x

if __name__ == "__main__":
    main()
"""
LAUNCHERS = {
    "basic": [],
    "joblib, 2 workers": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "slots, 2 workers": ["hydra/launcher=slots", "hydra.launcher.slots=2"],
    "slots and union": ["hydra/launcher=slots", "hydra.launcher.slots=2", "hydra/sweeper=union"],
}
SWEEPS = {"one": (1, 0.0), "many": (41, 0.0), "work": (20, 0.5)}
"""Trials, and seconds of sleep in each."""


def seconds(folder: Path, words: list[str], trials: int, sleep: float, number: int) -> float:
    """Wall time of one sweep in an output folder of its own."""
    x = ",".join(map(str, range(trials)))
    command = [sys.executable, "app.py", "-m", f"+x={x}", f"+t={sleep}", f"hydra.sweep.dir=out{number}", *words]
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    times: dict[tuple[str, str], list[float]] = {key: [] for key in itertools.product(LAUNCHERS, SWEEPS)}
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "app.py").write_text(APP)
        numbers = itertools.count()
        for _ in range(rounds):
            for launcher, sweep in times:
                trials, sleep = SWEEPS[sweep]
                taken = seconds(Path(name), LAUNCHERS[launcher], trials, sleep, next(numbers))
                times[launcher, sweep].append(taken)
    median = {key: statistics.median(values) for key, values in times.items()}
    print(
        f"{'':20}{'start':>9}{'per trial':>14}{'of work':>10}{'against joblib: start':>24}{'per trial':>11}{'work':>7}"
    )
    joblib = row(median, "joblib, 2 workers")
    for launcher in LAUNCHERS:
        start, each, work = values = row(median, launcher)
        ratios = "".join(
            f"{value / other:>{width}.2f}" for value, other, width in zip(values, joblib, (24, 11, 7), strict=True)
        )
        print(f"{launcher:20}{start:>7.2f} s{1000 * each:>11.0f} ms{work:>8.2f} s{ratios}")


def row(median: dict[tuple[str, str], float], launcher: str) -> tuple[float, float, float]:
    one, many, work = (median[launcher, sweep] for sweep in SWEEPS)
    return one, (many - one) / (SWEEPS["many"][0] - SWEEPS["one"][0]), work


if __name__ == "__main__":
    main()
