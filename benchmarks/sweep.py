"""A whole sweep, as one gets it: the plain way under Hydra's basic launcher against `rdrop-exp -m`.

    python benchmarks/sweep.py                     # 12 trials each way: about twenty minutes on two cores
    python benchmarks/sweep.py --root data         # on Fashion-MNIST as torchvision keeps it, test set of 10,000
    python benchmarks/sweep.py --precision bf16    # ours in bf16, the plain way in fp32 and in bf16: two ratios
    python benchmarks/sweep.py --tiny              # six short trials each way: does it run?

Six regularizers x the seeds, a ViT (d 96 x 6, 0.7 M parameters) on 28 x 28 images. By default the images are generated,
in Fashion-MNIST's own files: nothing is downloaded. The plain way is benchmarks/plain.py, one trial after the other in
one process with torch's own number of threads; ours is the runner with its own number of slots, without W&B.

Equal: every image of the three sets, epochs, batches, validations, the test of the best weights, augmentation (crop,
flip), AdamW, learning rates, drop rates and where they act, the loss, the precision (a ratio names it where it is not);
both leave the tested weights. Not equal: random numbers; R-Drop is two forwards in the plain way; ours also writes
metrics, options, a checkpoint a minute and the comparison at the end. Times are those of whole commands, imports
included; the CPU time shows what other load on the machine did to them.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
SIDE = 28
DEFORMED = 0.35  # share of another shape in each: the classes are learnt, but none of the ways learns all
WAYS = ("none", "dropout", "early_dropout", "stochastic_depth", "rdrop", "early_stochastic_depth")


def write_images(root: Path, train: int, test: int) -> None:
    """Fashion-MNIST's four files: silhouettes, one a class and mirrored as of clothes, deformed and under noise."""
    random = np.random.default_rng(0)
    shapes = smooth(random, 10)
    shapes = (shapes + shapes[:, :, ::-1]) / 2
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        labels = random.permutation(np.arange(count) % 10)
        inside = shapes[labels] + DEFORMED * smooth(random, count) > 0
        pixels = inside * random.uniform(100, 220, (count, 1, 1)) + 20 * random.standard_normal((count, SIDE, SIDE))
        head = np.array([0x803, count, SIDE, SIDE], ">i4").tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + pixels.clip(0, 255).astype(np.uint8).tobytes())
        head = np.array([0x801, count], ">i4").tobytes()
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.astype(np.uint8).tobytes())


def smooth(random: np.random.Generator, count: int) -> np.ndarray:
    """(count, SIDE, SIDE) fields: coarse noise, enlarged and blurred."""
    field = random.standard_normal((count, 4, 4)).repeat(SIDE // 4, 1).repeat(SIDE // 4, 2)
    for axis in (1, 2):
        field = np.mean([np.roll(field, shift, axis) for shift in range(-2, 3)], axis=0)
    return field


def split(root: Path, images: int, file: Path) -> float:
    """The positions that both sides train and validate on, into a file; returns the `dataset.fraction` of ours."""
    from rdrop_exp.config.dataset import Dataset
    from rdrop_exp.data.datasets import load

    whole = len(load(Dataset(name="fashion_mnist", root=str(root))).sets["train"])
    fraction = min(1.0, images / whole)
    sets = load(Dataset(name="fashion_mnist", root=str(root), fraction=fraction)).sets
    np.savez(file, train=sets["train"], validation=sets["validation"])
    print("images: " + ", ".join(f"{len(items):,} {name}" for name, items in sets.items()))
    return fraction


def timed(folder: Path, *words: str) -> tuple[float, float]:
    """Seconds of one command and of its CPU time, run in the folder with the threads that libraries choose."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(folder / "output.txt", "a") as output:
        code = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode
    if code:
        raise SystemExit(f"{' '.join(words)} failed:\n{(folder / 'output.txt').read_text()[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def results(folder: Path) -> Iterator[tuple[str, float]]:
    """(regularizer, test accuracy) of each trial below the folder."""
    for file in folder.rglob("result.json"):
        found: dict[str, Any] = json.loads(file.read_text())
        if "options" in found:
            yield file.parent.name.split("-")[2], found["metrics"]["test/accuracy"]  # data-model-regularizer-…
        else:
            yield found["regularizer"], found["test/accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6000, help="to train on")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--root", type=Path, help="folder of torchvision's Fashion-MNIST")
    parser.add_argument("--workers", type=int, default=0, help="of the plain way's DataLoader")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of ours")
    parser.add_argument("--tiny", action="store_true", help="640 images, one epoch, one seed")
    o = parser.parse_args()
    if o.tiny:
        o.images, o.epochs, o.seeds, o.rounds = 640, 1, 1, 1
    trials = len(WAYS) * o.seeds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = o.root.absolute() if o.root else folder / "data"
        if not o.root:  # of the training file a tenth is for validation
            write_images(root, -(-o.images * 10 // 9), o.images // 6)
        fraction = split(root, o.images, folder / "sets.npz")
        shared = [f"regularizer={','.join(WAYS)}", f"seed={','.join(map(str, range(o.seeds)))}"]
        plain = [str(ROOT / "benchmarks" / "plain.py"), "-m", *shared, f"root={root}", f"sets={folder / 'sets.npz'}"]
        plain += [f"epochs={o.epochs}", "warmup_epochs=0.2", f"workers={o.workers}"]
        ours = ["-m", "rdrop_exp", "-m", *shared, "model=vit_micro_28", "dataset=fashion_mnist"]
        ours += [f"dataset.root={root}", f"dataset.fraction={fraction!r}", f"schedule.epochs={o.epochs}"]
        ours += ["schedule.warmup_epochs=0.2", "logger=local", "name=sweep", f"precision={o.precision}"]
        sides = {f"plain-{p}": [*plain, f"precision={p}"] for p in dict.fromkeys(("fp32", o.precision))}
        sides[last := f"ours-{o.precision}"] = ours
        print(f"{trials} trials, {o.epochs} epochs, batches of 128\n")
        times: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for i in range(o.rounds):
            for side, words in sides.items():
                out = folder / side / str(i)
                out.mkdir(parents=True)
                where = f"output_dir={out}" if side == last else f"hydra.sweep.dir={out}"
                wall, cpu = timed(out, *words, where)
                times[side].append((wall, cpu))
                rate = trials * 3600 / wall
                print(f"round {i + 1}  {side:12}{wall:8.1f} s{cpu:8.1f} s of CPU{rate:7.0f} trials/h", flush=True)
        for side in list(sides)[:-1]:
            for k, name in enumerate(("time", "CPU time")):
                ratios = [one[k] / other[k] for one, other in zip(times[side], times[last], strict=True)]
                spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                print(f"{name} of {side} over {last}: {spread}")
        print(f"\n{'test accuracy, %':26}" + "".join(f"{side:>12}" for side in sides))
        found = [list(results(folder / side)) for side in sides]
        for way in (*WAYS, "mean"):
            means = [[100 * value for name, value in side if way in (name, "mean")] for side in found]
            assert all(len(values) == o.rounds * (trials if way == "mean" else o.seeds) for values in means)
            print(f"{way:26}" + "".join(f"{statistics.mean(values):12.2f}" for values in means))


if __name__ == "__main__":
    main()
