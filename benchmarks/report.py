"""python benchmarks/report.py [--groups 1000] [--seeds 5] [--rows 200] [--folder FOLDER]

Time and size of a report of many trials: writes synthetic trial folders (kept with --folder), then times the terminal's
table alone, the whole report, and the refresh of --watch.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.report.trials import EARLY, NONE, RDROP, write_trial


def write(root: Path, groups: int, seeds: int, rows: int) -> None:
    """`groups` settings of three options, the baseline among them, with a seed's luck shared by all groups."""
    rng = random.Random(0)
    luck = [rng.gauss(0, 0.003) for _ in range(seeds)]
    for g in range(groups):
        rate, alpha, cutoff = 0.02 * (g % 20 + 1), 0.1 * (g // 20 % 10 + 1), 1 + g // 200 % 5
        kind = NONE if g == 0 else (RDROP if g % 2 else EARLY) | {"dropout": rate, "alpha": alpha}
        if "when" in kind:
            kind = kind | {"cutoff_epoch": cutoff, "passes": 2 + g // 1000}
        elif g:
            kind = kind | {"every": cutoff, "passes": 2 + g // 1000}
        gain = 0.0 if g == 0 else 0.01 - 0.03 * (rate - 0.15) ** 2 - 0.004 * abs(alpha - 0.5)
        for seed in range(seeds):
            val = 0.9 + gain + luck[seed] + rng.gauss(0, 0.002)
            write_trial(root, kind, seed, val + rng.gauss(0, 0.002), val, rows=rows, seconds=60 + 40 * rng.random())


def timed(*arguments: str) -> float:
    """Seconds of one rdrop-report process, from its start to its end."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "rdrop_exp.report.cli", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = given.folder or Path(temporary)
        if not (root / "demo").exists():
            write(root, given.groups, given.seeds, given.rows)
        trials = given.groups * given.seeds
        page = Path(temporary) / "report.html"
        table = min(timed(str(root), "--no-page") for _ in range(3))
        whole = min(timed(str(root), "--page", str(page)) for _ in range(3))
        print(f"{trials} trials of {given.rows} rows in {given.groups} groups")
        print(f"table alone   {table:6.2f} s   ({1000 * table / trials:.2f} s per thousand)")
        print(f"table + page  {whole:6.2f} s   page {page.stat().st_size / 1e6:.1f} MB")
        print(f"refresh       {refresh(root):6.2f} s   (of --watch, nothing changed)")


def refresh(root: Path) -> float:
    from rdrop_exp.report.compare import make_report
    from rdrop_exp.report.page import payload

    known: dict[str, Any] = {}
    payload(make_report([root], known=known))
    begun = time.perf_counter()
    payload(make_report([root], known=known))
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
