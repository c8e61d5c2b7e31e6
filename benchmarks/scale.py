"""python benchmarks/scale.py [--trials 100000] [--seeds 5] [--only plan|resume|queue|report] [--folder FOLDER]

What a very large sweep costs besides its trials, in seconds by the clock, seconds of the processor and peak memory:

plan     the whole command `rdrop-exp -m … hydra.launcher.dry_run=true`, imports and all its output included
resume   the same where every trial's folder is there, started and not finished
queue    the runner's queue of these trials: setting it up, and then choosing one trial
report   `rdrop-report --no-page` of as many finished trials, generated, with 20 rows of metrics each
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
PRESETS = ("none", "dropout", "rdrop", "stochastic_depth")


def measured(what: str, folder: Path, *words: str) -> None:
    """Run a module of this package and print what it took."""
    begun = time.perf_counter()
    with open(folder / "output.txt", "wb") as output:
        process = subprocess.Popen([sys.executable, "-m", *words], cwd=folder, stdout=output, stderr=output)
    _, code, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    line = (folder / "output.txt").read_text().partition("\n")[0]
    if process.returncode:
        raise SystemExit(f"{what}: {line}")
    row(what, time.perf_counter() - begun, used.ru_utime + used.ru_stime, f"{used.ru_maxrss / 1e6:8.2f} GB   {line}")


def row(what: str, clock: float, processor: float, rest: str = "") -> None:
    print(f"{what:8}{clock:9.1f} s{processor:9.1f} s  {rest}", flush=True)


def sweep(trials: int, seeds: int) -> list[str]:
    """Overrides of that many trials: presets, learning rates and seeds."""
    rates = -(-trials // (len(PRESETS) * seeds))
    values = ",".join(f"{0.001 + 0.000001 * i:.6f}" for i in range(rates))
    return [f"regularizer={','.join(PRESETS)}", f"optimizer.lr={values}", f"seed=range({seeds})", "name=scale"]


def start_all(folder: Path, output: Path) -> None:
    """The folder of each planned trial, as if it had been started."""
    for line in output.read_text().splitlines():
        if line.startswith("  run "):
            trial = folder / "outputs" / "scale" / line.split()[1]
            trial.mkdir(parents=True)
            (trial / "config.yaml").touch()


def queue(folder: Path, trials: int) -> None:
    from hydra_slots.queue import TrialQueue
    from hydra_slots.sweep_plan import Job, PlannedTrial

    begun, used = time.perf_counter(), time.process_time()
    planned = [PlannedTrial(str(i), str(folder / "none" / str(i)), str(i), str(i // 5)) for i in range(trials)]
    waiting = TrialQueue([Job(i, [], str(i), trial) for i, trial in enumerate(planned)], retries=1)
    row("queue", time.perf_counter() - begun, time.process_time() - used)
    begun, used = time.perf_counter(), time.process_time()
    for _ in range(20):
        waiting.next()
    row("  next", (time.perf_counter() - begun) / 20, (time.process_time() - used) / 20, "for each trial that starts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=("plan", "resume", "queue", "report"))
    parser.add_argument("--folder", type=Path, help="keeps the folders of the generated trials")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = o.folder or Path(name)
        folder.mkdir(exist_ok=True)
        print(f"{o.trials:,} trials\n{'':8}{'clock':>11}{'processor':>11}{'memory':>13}")
        command = ["rdrop_exp", "-m", *sweep(o.trials, o.seeds), "hydra.launcher.dry_run=true"]
        if o.only in (None, "plan", "resume"):
            measured("plan", folder, *command)
        if o.only in (None, "resume"):
            start_all(folder, folder / "output.txt")
            measured("resume", folder, *command)
        if o.only in (None, "queue"):
            queue(folder, o.trials)
        if o.only in (None, "report"):
            from report import write

            if not (folder / "reported").exists():
                write(folder / "reported", -(-o.trials // o.seeds), o.seeds, rows=20)
            measured("report", folder, "rdrop_exp.report.cli", "reported", "--no-page")


if __name__ == "__main__":
    main()
