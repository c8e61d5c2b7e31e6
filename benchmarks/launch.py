"""What the sweeper and the runner cost, on a foreign application: planning, overhead, and against Hydra's launcher.

    python benchmarks/launch.py                # about two minutes
    python benchmarks/launch.py --trials 20

Overhead is the time between results on one worker, beyond the trial's own work, once every worker has finished a trial.
Hydra's basic launcher and the runner take turns on the same trials, on two workers.
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

ROOT = Path(__file__).parents[1]
APP = """
import time, hydra
from pathlib import Path
import hydra_slots

hydra_slots.register()
version = {} if hydra.__version__ >= "1.4" else {"version_base": None}

@hydra.main(config_path=str(Path(__file__).parent / "conf"), config_name="config", **version)
def main(cfg):
    time.sleep(cfg.sleep)
    end = time.process_time() + cfg.burn
    while time.process_time() < end:
        pass
    return cfg.x

main()
"""
GROUPS = [f"group_{i}" for i in range(6)]
CONFIG = """
defaults: [{groups}, _self_, {{override hydra/sweeper: union}}, {{override hydra/launcher: slots}}]
x: 0
seed: 0
sleep: 0.0
burn: 0.0
hydra: {{sweep: {{dir: out}}}}
"""


def write_app(folder: Path) -> None:
    """The application, with six groups of two choices and fifteen options each, as many as real ones have."""
    for name in GROUPS:
        (folder / "conf" / name).mkdir(parents=True)
        for choice, value in (("a", 1), ("b", 2)):
            (folder / "conf" / name / f"{choice}.yaml").write_text("".join(f"o{i}: {value}\n" for i in range(15)))
    (folder / "conf" / "config.yaml").write_text(CONFIG.format(groups=", ".join(f"{name}: a" for name in GROUPS)))
    (folder / "app.py").write_text(APP)


def run(folder: Path, *words: str) -> float:
    """Seconds of one multirun."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-W", "ignore", "app.py", "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def overhead(folder: Path, trials: int, out: str) -> tuple[float, float]:
    """Median and largest seconds between results of one worker, of trials that do nothing."""
    run(folder, f"x=range(0,{trials})", "hydra.launcher.slots=2", "hydra.launcher.stagger=0", f"hydra.sweep.dir={out}")
    ends: dict[str, list[float]] = {}
    for log in (folder / out).glob("*/log.txt"):
        worker = log.read_text().partition(" pid ")[2].partition(":")[0]
        ends.setdefault(worker, []).append((log.parent / "result.json").stat().st_mtime)
    gaps = [b - a for times in ends.values() for a, b in itertools.pairwise(sorted(times))]
    return statistics.median(gaps), max(gaps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--planned", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_app(folder)
        seeds = f"seed=range(0,{options.planned // 20})"
        groups = ["group_0=a,b", "group_1=a,b"]
        nothing = run(folder, "hydra.launcher.dry_run=true")
        plan = run(folder, *groups, "x=range(0,5)", seeds, "hydra.launcher.dry_run=true")
        print(f"planning {options.planned} trials: {plan - nothing:.1f} s more than planning 1 ({nothing:.1f} s)")
        for i in range(options.rounds):
            median, worst = overhead(folder, options.trials, f"out{i}")
            print(f"overhead of each of {options.trials} empty trials: median {median:.3f} s, largest {worst:.3f} s")
        print(f"\n{'trials':24}{'basic, s':>10}{'runner, s':>11}{'ratio':>8}")
        cases = {"empty": "", "sleep 0.5 s": "sleep=0.5", "burn 0.5 CPU s": "burn=0.5"}
        for round_, (label, word) in itertools.product(range(options.rounds), cases.items()):
            words = ["x=range(0,24)", *([word] if word else [])]
            out = f"hydra.sweep.dir={label.replace(' ', '_')}_{round_}"
            basic = run(folder, *words, out + "_basic", "hydra/launcher=basic")
            runner = run(folder, *words, out + "_runner", "hydra.launcher.slots=2")
            print(f"24 x {label:19}{basic:10.1f}{runner:11.1f}{basic / runner:8.2f}")


if __name__ == "__main__":
    main()
