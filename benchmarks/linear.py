"""Linear layers on this CPU: oneDNN, as rdrop_exp/models/onednn_linear.py calls it, against PyTorch's default.

    python benchmarks/linear.py

One thread, float32, CPU time, forward and backward, both in turn; shapes of a ViT of width 96, 128 images of 50 tokens.
"""

import argparse
import statistics
import time

import torch
from torch import nn

from rdrop_exp.models.onednn_linear import is_faster, use_onednn

SHAPES = ((6400, 96, 288), (6400, 96, 96), (6400, 96, 384), (6400, 384, 96), (25_600, 192, 768))


def seconds(layer: nn.Module, x: torch.Tensor, gradient: torch.Tensor) -> float:
    start = time.process_time()
    layer(x).backward(gradient)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread; used on this machine: {is_faster()}")
    print(f"{'rows, inputs, outputs':24}{'torch':>10}{'oneDNN':>10}   ratio")
    for rows, inputs, outputs in SHAPES:
        theirs, ours = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs)
        use_onednn(ours)
        x, gradient = torch.randn(rows, inputs, requires_grad=True), torch.randn(rows, outputs)
        for layer in (theirs, ours):
            seconds(layer, x, gradient)
        times = [(seconds(theirs, x, gradient), seconds(ours, x, gradient)) for _ in range(rounds)]
        ratios = [b / a for a, b in times]
        medians = [1e3 * statistics.median(column) for column in zip(*times, strict=True)]
        print(
            f"{f'{rows}, {inputs}, {outputs}':24}{medians[0]:7.1f} ms{medians[1]:7.1f} ms"
            f"   {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
