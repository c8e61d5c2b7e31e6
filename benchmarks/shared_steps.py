"""Sweeps whose trials share steps, trained with them shared and each trial by itself.

    python benchmarks/shared_steps.py                  # four sweeps on digits, each twice: minutes on two cores
    python benchmarks/shared_steps.py --epochs 40      # longer trials: less of each is starting and testing

Time is processor time of the whole command, imports, the plan and the report included, so that other work on the
machine changes it little. `trained` is that of the trials alone, by their own clocks, without what was shared.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SWEEPS = {
    "late_start": ["sweep=claims/late_start", "scale=cpu", "schedule.steps=240"],
    "family": ["sweep=family"],
    "strategies": ["sweep=claims/strategies", "scale=cpu"],
    "late rate × cutoff": [
        "regularizer=late_dropout", "regularizer.dropout=0.05,0.1,0.2,0.3",
        "regularizer.cutoff_share=0.25,0.5,0.75",
    ],
}  # fmt: skip


def run(folder: Path, words: list[str], share: bool) -> tuple[float, float, str]:
    """Processor seconds of the command, seconds of training, and what the plan says is shared."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    name = "shared" if share else "alone"
    words = [*words, f"share_steps={share}", f"name={name}", f"output_dir={folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "rdrop_exp", "-m", *words], capture_output=True, text=True,
        env=os.environ | {"WANDB_MODE": "disabled"}, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    results = [json.loads(path.read_text()) for path in (folder / name).glob("*/result.json")]
    trained = sum(result["seconds"] - result.get("shared_seconds", 0.0) for result in results)
    plan = re.search(r"(\d+) % of the steps", done.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, trained, f"{len(results)} trials, {plan[1]} %" if plan else f"{len(results)} trials, 0 %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--model", default="vit_micro_8")
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=SWEEPS, default=list(SWEEPS))
    given = parser.parse_args()
    common = [
        "dataset=digits", f"model={given.model}", f"schedule.epochs={given.epochs}", "logger.wandb=disabled",
        f"seed={','.join(map(str, range(given.seeds)))}", f"hydra.launcher.slots={given.slots}",
        "optimizer.batch_size=64",
    ]  # fmt: skip
    print("sweep                 shared by plan        processor s, alone → shared   saved    trained s          saved")
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            alone, alone_trained, _ = run(Path(folder), [*SWEEPS[name], *common], share=False)
            shared, trained, plan = run(Path(folder), [*SWEEPS[name], *common], share=True)
        print(
            f"{name:20}  {plan:20}  {alone:8.1f} → {shared:6.1f}             {1 - shared / alone:5.0%}"
            f"    {alone_trained:6.1f} → {trained:6.1f}  {1 - trained / alone_trained:5.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
