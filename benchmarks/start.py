"""Cold start: how long until the first training step of the default trial, against `import torch, timm` alone.

    python benchmarks/start.py             # 5 pairs, alternating, about a minute

Whole processes, wall clock and CPU seconds. The trial logs to W&B offline, as by default.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

IMPORT = "import torch, timm"
TRIAL = """
import os, sys
sys.argv[1:] = ["output_dir=" + sys.argv[1]]
import rdrop_exp.cli as cli
original = cli.check_chosen
def after(*args):  # called before the heavy imports: hook the first optimizer step once torch is there
    original(*args)
    import torch.optim.optimizer as optim
    optim.register_optimizer_step_post_hook(lambda *a: os._exit(0))
cli.check_chosen = after
cli.main()
"""


def seconds(code: str, *arguments: str) -> tuple[float, float]:
    """Wall and CPU seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    pairs = []
    for _ in range(6):
        with tempfile.TemporaryDirectory() as folder:
            pairs.append((seconds(TRIAL, folder), seconds(IMPORT)))
    pairs = pairs[1:]  # the first warms the disk cache
    for i, what in enumerate(("wall", "CPU")):
        ratios = [a[i] / b[i] for a, b in pairs]
        print(
            f"{what:5} first step {statistics.median(a[i] for a, _ in pairs):.2f} s  import torch, timm"
            f" {statistics.median(b[i] for _, b in pairs):.2f} s  ratio {statistics.median(ratios):.2f}"
            f" ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
