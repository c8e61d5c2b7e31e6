"""What a training step of each regularizer costs, against one without noise, and R-Drop against two forwards.

    python benchmarks/step.py              # 5 rounds, some minutes
    python benchmarks/step.py --rounds 2

CPU seconds of this process, one thread; in each round all take turns on the same batch. `two forwards` is R-Drop as its
authors' snippet has it; `from the start` repeats the inputs (share_passes=false). Stages at which a schedule is silent
cost what `none` does; they are measured too.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from rdrop_exp import models
from rdrop_exp.config import from_dict
from rdrop_exp.losses import kl, loss

MODELS: dict[str, tuple[str, dict[str, Any], int]] = {
    "vit_micro_28": ("vit_tiny_patch16_224", {"patch_size": 4, "embed_dim": 96, "depth": 6, "num_heads": 3}, 28),
    "resnet_micro_8": (
        "resnet18",
        {
            "layers": [1, 1, 1, 1],
            "channels": [24, 32, 48, 64],
            "stem_width": 16,
            "stem_type": "deep",
            "output_stride": 16,
        },
        8,
    ),
}
TIED = {"dropout": 0.1, "alpha": 0.5}
WAYS: dict[str, tuple[dict[str, Any], float, bool]] = {  # options, share of the rates, whether passes part late
    "none": ({"when": "never"}, 0.0, True),
    "dropout": ({"dropout": 0.1}, 1.0, True),
    "early dropout after its cutoff": ({"dropout": 0.1}, 0.0, True),
    "stochastic depth": ({"drop_path": 0.1}, 1.0, True),
    "R-Drop": (TIED, 1.0, True),
    "R-Drop, sites=rdrop": (TIED | {"sites": "rdrop"}, 1.0, True),
    "R-Drop, from the start": (TIED, 1.0, False),
    "R-Drop, two forwards": (TIED, 1.0, False),
    "R-Drop, stochastic depth": ({"drop_path": 0.1, "alpha": 0.5}, 1.0, True),
    "R-Drop, stochastic depth, from the start": ({"drop_path": 0.1, "alpha": 0.5}, 1.0, False),
    "R-Drop while no noise is active": (TIED, 0.0, True),
}


def make(label: str, way: str, model: str, args: dict[str, Any], size: int, batch: int) -> Callable[[], float]:
    """A function that makes one step and returns its CPU seconds."""
    regularizer, share, late = WAYS[way]
    o = from_dict({"model": {"name": model, "args": args}, "regularizer": regularizer, "share_passes": late})
    torch.manual_seed(0)
    network, noise = models.build(o, classes=10, channels=1, image_size=size, device=torch.device("cpu"))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    inputs, targets = torch.randn(batch, 1, size, size), torch.arange(batch) % 10
    network.train()
    passes = 2 if regularizer.get("alpha") and share and "two" not in way else 1
    noise.set(share, passes)

    def step() -> float:
        start = time.process_time()
        if "two" in way:
            a, b = network(inputs), network(inputs)
            total = 0.5 * (F.cross_entropy(a, targets) + F.cross_entropy(b, targets) + kl(a, b).mean())
        else:
            total = loss(network(inputs), targets, passes=passes, alpha=regularizer.get("alpha", 0.0)).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return time.process_time() - start

    return step


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, batch {options.batch}; ratio to `none`: median (lowest to highest)")
    for label, (model, args, size) in MODELS.items():
        possible = [w for w in WAYS if not (label.startswith("resnet") and "sites" in w)]
        steps = {way: make(label, way, model, args, size, options.batch) for way in possible}
        for step in steps.values():
            step()
        times = [{way: sum(step() for _ in range(3)) / 3 for way, step in steps.items()} for _ in range(options.rounds)]
        for way in possible:
            ratios = [t[way] / t["none"] for t in times]
            print(
                f"{label:15} {way:42} {1e3 * statistics.median(t[way] for t in times):7.1f} ms"
                f"  {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )


if __name__ == "__main__":
    main()
