"""What an analysis costs over its gradients, taken by hand: 20 noisy mini-batches, and one pass over the training set.

    python benchmarks/analysis.py              # 5 pairs, some minutes
    python benchmarks/analysis.py --pairs 2

CPU seconds of this process, one thread, alternating, so that other work on the machine matters little; and the memory
that the analysis holds on to at its peak beyond what the gradients by hand do, in vectors of the model's size.
"""

import argparse
import resource
import statistics
import time

import torch
import torch.nn.functional as F

from rdrop_exp.analysis.gradient_meter import GradientMeter, MeterSettings
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.data.batch import Data
from rdrop_exp.data.load import load_data
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.train.setup import Setup, initial_network

CPU = torch.device("cpu")
BATCHES = 20
CASES = {
    "vit_micro_8, batch 128": ({"patch_size": 2, "embed_dim": 64, "depth": 4, "num_heads": 4}, 128),
    "wide vit, batch 32": ({"patch_size": 4, "embed_dim": 384, "depth": 4, "num_heads": 6}, 32),
}


def by_hand(data: Data, network: torch.nn.Module, noise: InstalledNoise, batch_size: int) -> float:
    """Seconds of the gradients alone, which are thrown away."""
    start = time.process_time()
    network.train()
    for share, passes in ((1.0, -(-BATCHES // data.steps_per_epoch)), (0.0, 1)):
        noise.set_rates(share)
        left = BATCHES if share else data.sizes["train"] / batch_size
        for epoch in range(passes + 1):
            for batch in data.train(epoch):
                if left <= 0:
                    break
                part = min(1.0, left)  # the last batch of the pass over the whole set may be smaller
                left -= 1
                count = max(1, round(part * batch_size))
                F.cross_entropy(network(batch.inputs[:count]), batch.targets[:count]).backward()
                network.zero_grad(set_to_none=share > 0)
    return time.process_time() - start


def prepare(o: Options) -> Setup:
    data = load_data(o.dataset, batch_size=o.optimizer.batch_size, seed=0, device=CPU)
    network, noise = initial_network(o, data.spec, CPU)
    return Setup(options=o, network=network, noise=noise, data=data, device=CPU)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread; CPU seconds of {BATCHES} mini-batches and one pass over digits")
    for label, (args, batch_size) in CASES.items():
        o = from_dict({
            "model": {"name": "vit_tiny_patch16_224", "args": args}, "regularizer": {"dropout": 0.1},
            "optimizer": {"batch_size": batch_size},
        })  # fmt: skip
        setup = prepare(o)
        data, network, noise = setup.data, setup.network, setup.noise
        parameters = sum(p.numel() for p in network.parameters())
        by_hand(data, network, noise, batch_size)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        meter = GradientMeter(setup, MeterSettings(batches=BATCHES))
        meter.read(0)
        more = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / (4 * parameters)
        times = []
        for _ in range(pairs):
            theirs = by_hand(data, network, noise, batch_size)
            start = time.process_time()
            meter.read(0)
            times.append((time.process_time() - start, theirs))
        ratios = [a / b for a, b in times]
        ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"{label:24} {parameters:10,} parameters: analysis {ours:.2f} s, gradients {theirs:.2f} s, ratio"
            f" {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}); {more:.0f} vectors of memory",
            flush=True,
        )


if __name__ == "__main__":
    main()
