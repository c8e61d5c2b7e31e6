"""What the training loop costs over one written by hand: same model, batches and optimizer, alternating in one run.

    python benchmarks/loop.py              # 7 pairs, about a minute
    python benchmarks/loop.py --pairs 3

One thread. The hand-written loop reads its loss once an epoch. Validation and testing, which it does not do, are cut to
one image each in ours.
"""

import argparse
import statistics

import torch
import torch.nn.functional as F
from clock import seconds
from torch import nn

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.config.schedules import learning_rate
from rdrop_exp.data.batch import Batch, Data
from rdrop_exp.data.load import load_data
from rdrop_exp.models.build import build_network
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.train.loop import train
from rdrop_exp.train.optim import make_optimizer
from rdrop_exp.train.setup import Setup

MODELS = {
    "vit_micro_8": ("vit_tiny_patch16_224", {"patch_size": 2, "embed_dim": 64, "depth": 4, "num_heads": 4}),
    "resnet_micro_8": (
        "resnet18",
        {
            "layers": [1, 1, 1, 1],
            "channels": [24, 32, 48, 64],
            "stem_width": 16,
            "stem_type": "deep",
            "output_stride": 16,
        },
    ),
}


def prepare(o: Options) -> tuple[Data, nn.Module, InstalledNoise, torch.device]:
    device = torch.device(o.device)
    data = load_data(o.dataset, batch_size=o.optimizer.batch_size, seed=0, device=device)
    torch.manual_seed(0)
    network, noise = build_network(o, classes=10, channels=1, image_size=8, device=device)
    return data, network, noise, device


def ours(o: Options) -> float:
    data, network, noise, device = prepare(o)
    one = next(data.train(0))
    data.validation = data.test = lambda: iter([Batch(one.inputs[:1], one.targets[:1])])  # type: ignore[method-assign]
    start = seconds(device)
    setup = Setup(options=o, network=network, noise=noise, data=data, device=device)
    train(setup, None, lambda row: 0, lambda progress, state_dict: None)
    return seconds(device) - start


def by_hand(o: Options) -> float:
    data, network, _, device = prepare(o)
    start = seconds(device)
    optimizer = make_optimizer(o.optimizer, network)
    network.train()
    total = o.schedule.epochs * data.steps_per_epoch
    for epoch in range(o.schedule.epochs):
        running = torch.zeros((), device=device)
        for index, batch in enumerate(data.train(epoch)):
            step = epoch * data.steps_per_epoch + index
            for group in optimizer.param_groups:
                group["lr"] = o.optimizer.lr * learning_rate(o.schedule, step, data.steps_per_epoch, total)
            loss = F.cross_entropy(network(batch.inputs), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += loss.detach()
        running.item()
    return seconds(device) - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    pairs = options.pairs
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {options.device}, one thread; seconds of 6 epochs of digits, batch 128")
    for label, (name, args) in MODELS.items():
        o = from_dict({"model": {"name": name, "args": args}, "schedule": {"epochs": 6}, "validate_every": 6})
        o.device = options.device
        by_hand(o), ours(o)  # warm-up
        times = [(ours(o), by_hand(o)) for _ in range(pairs)]
        ratios = [a / b for a, b in times]
        print(
            f"{label:16} ours {statistics.median(a for a, _ in times):.2f} s  by hand"
            f" {statistics.median(b for _, b in times):.2f} s  ratio {statistics.median(ratios):.3f}"
            f" ({min(ratios):.3f} to {max(ratios):.3f})"
        )


if __name__ == "__main__":
    main()
