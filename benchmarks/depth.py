"""Stochastic depth on kept samples alone against a mask: how much of the work that could be left out is saved.

    python benchmarks/depth.py                  # a ViT and a ConvNeXt, some minutes
    python benchmarks/depth.py --device cuda --batch 256

The same drop rate in every block (profile=constant); the ways take turns, one step each (forward, loss, backward,
AdamW), on the same batch. What could be left out at a rate is that share of the branches' time, which is what a step
takes beyond one at a rate of 0.999. `saved` is the share of it that skip_dropped=true saves over skip_dropped=false.
"""

import argparse
import os
import statistics
from collections.abc import Callable
from typing import Any

os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")  # the ways must not evict one another's convolutions

import torch
from clock import seconds

from rdrop_exp.config.checks import from_dict
from rdrop_exp.models.build import build_network
from rdrop_exp.train.losses import loss

MODELS: dict[str, tuple[str, dict[str, Any], int]] = {
    "ViT, 96 wide, 28x28": ("vit_tiny_patch16_224", {"patch_size": 4, "embed_dim": 96, "depth": 6, "num_heads": 3}, 28),
    "ConvNeXt, 32x32": (
        "convnext_femto",
        {"patch_size": 2, "depths": [2, 2, 4, 2], "dims": [32, 64, 128, 192], "output_stride": 16},
        32,
    ),
}
RATES = (0.02, 0.05, 0.1, 0.2, 0.4)
LEFT_OUT = 0.999


def make(
    model: str, args: dict[str, Any], size: int, rate: float, skip: bool, o: argparse.Namespace
) -> Callable[[], float]:
    """A function that makes one step and returns its seconds."""
    regularizer = {"drop_path": rate, "profile": "constant"}
    options = from_dict({"model": {"name": model, "args": args}, "regularizer": regularizer, "skip_dropped": skip})
    torch.manual_seed(0)
    device = torch.device(o.device)
    network, noise = build_network(options, classes=10, channels=3, image_size=size, device=device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
    inputs = torch.randn(o.batch, 3, size, size, device=device)
    targets = torch.arange(o.batch, device=device) % 10
    network.train()
    noise.set_rates(1.0)

    def step() -> float:
        start = seconds(device)
        loss(network(inputs), targets).total.backward()
        optimizer.step()
        optimizer.zero_grad()
        return seconds(device) - start

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--warm", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", default="cpu", help="cpu: one thread, CPU seconds")
    o = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {o.device}, batch {o.batch};", end=" ")
    print("a step with skip_dropped over one without: median (lowest to highest)")
    for label, (model, args, size) in MODELS.items():
        ways = {(rate, skip): make(model, args, size, rate, skip, o) for rate in RATES for skip in (True, False)}
        ways[LEFT_OUT, True] = make(model, args, size, LEFT_OUT, True, o)
        for step in ways.values():  # a CPU's convolutions are prepared anew for each number of samples, once
            for _ in range(o.warm):
                step()
        times = [{way: step() for way, step in ways.items()} for _ in range(o.rounds)]
        medians = {way: statistics.median(t[way] for t in times) for way in ways}
        for rate in RATES:
            ratios = [t[rate, True] / t[rate, False] for t in times]
            whole = medians[rate, False]
            saved = (whole - medians[rate, True]) / (rate * (whole - medians[LEFT_OUT, True]))
            print(
                f"{label:24} rate {rate:4}  {1e3 * whole:7.1f} ms  {statistics.median(ratios):.3f}"
                f" ({min(ratios):.3f} to {max(ratios):.3f})  saved {saved:.0%}"
            )


if __name__ == "__main__":
    main()
