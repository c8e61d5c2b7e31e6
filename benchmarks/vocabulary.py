"""Losses over a vocabulary: chunks and gradients in closed form against a log-softmax for each term.

    python benchmarks/vocabulary.py                     # 2 x 256 tokens, 32,000 classes; a minute
    python benchmarks/vocabulary.py --device cuda --tokens 4096

Two passes, forward and backward, float32; every way in turn, in one process.

consistency   symmetric KL of given logits, the gradient by them
token batch   hidden states (width 256) through the output layer, cross-entropy smoothed by 0.1 and KL, 10 % padding,
              the gradient by all: one forward of both passes, against two forwards and the R-Drop paper's snippet

Memory is the highest sum of live tensors beyond the inputs, as torch's profiler sees allocations (on CUDA the
allocator's own peak). The gradients are compared with the plain way's in float64.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rdrop_exp.train.losses import consistency, loss

WIDTH = 256
Inputs = list[Tensor]
"""Tensors with a gradient first, then targets and mask."""


def kl(a: Tensor, b: Tensor) -> Tensor:
    """As the R-Drop paper's snippet has it: a log-softmax and a softmax of both passes, each way."""
    forward = F.kl_div(F.log_softmax(a, -1), F.softmax(b, -1), reduction="none").sum(-1)
    backward = F.kl_div(F.log_softmax(b, -1), F.softmax(a, -1), reduction="none").sum(-1)
    return 0.5 * (forward + backward)


def plain_consistency(logits: Tensor) -> Tensor:
    return kl(*logits).mean()


def chunked_consistency(logits: Tensor) -> Tensor:
    return consistency(logits).mean()


def plain_batch(hidden: Tensor, weight: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Two forwards."""
    a, b = (F.linear(x, weight) for x in hidden)
    each = [F.cross_entropy(x, targets, reduction="none", label_smoothing=0.1) for x in (a, b)]
    return ((sum(each) / 2 + kl(a, b)) * mask).sum() / mask.sum()


def chunked_batch(hidden: Tensor, weight: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    logits = F.linear(hidden.flatten(0, 1), weight)
    return loss(logits, targets, passes=2, alpha=1.0, mask=mask, label_smoothing=0.1).total


WAYS: dict[str, dict[str, Callable[..., Tensor]]] = {
    "consistency": {"plain": plain_consistency, "chunked": chunked_consistency},
    "token batch": {"plain": plain_batch, "chunked": chunked_batch},
}


def step(way: Callable[..., Tensor], inputs: Inputs) -> tuple[Tensor, ...]:
    """The gradients."""
    return torch.autograd.grad(way(*inputs), [x for x in inputs if x.requires_grad])


def peak(way: Callable[..., Tensor], inputs: Inputs) -> int:
    """Bytes beyond what was there before."""
    if inputs[0].is_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(way, inputs)
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step(way, inputs)
    now = highest = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            highest = max(highest, now)
    return highest


def seconds(way: Callable[..., Tensor], inputs: Inputs) -> float:
    start = time.perf_counter()
    step(way, inputs)
    if inputs[0].is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def inputs_of(what: str, tokens: int, classes: int, device: str) -> Inputs:
    torch.manual_seed(0)
    if what == "consistency":
        return [torch.randn(2, tokens, classes, device=device, requires_grad=True)]
    hidden = torch.randn(2, tokens, WIDTH, device=device, requires_grad=True)
    weight = (torch.randn(classes, WIDTH, device=device) * WIDTH**-0.5).requires_grad_()
    return [hidden, weight, torch.randint(classes, (tokens,), device=device), torch.rand(tokens, device=device) > 0.1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--classes", type=int, default=32_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = 2 * options.tokens * options.classes * 4
    print(f"torch {torch.__version__}, {options.device}, 2 x {options.tokens} x {options.classes}:", end=" ")
    print(f"{size / 2**20:.0f} MiB of logits")
    for what, ways in WAYS.items():
        inputs = inputs_of(what, options.tokens, options.classes, options.device)
        exact = step(ways["plain"], [x.double() if x.is_floating_point() else x for x in inputs])
        for name, way in ways.items():
            for found, right in zip(step(way, inputs), exact, strict=True):
                error = (found - right).abs().max() / right.abs().max()
                assert error < 1e-4, f"{what}, {name}: a gradient is off by {error:.1e}"
        memory = {name: peak(way, inputs) for name, way in ways.items()}
        times = [{name: seconds(way, inputs) for name, way in ways.items()} for _ in range(options.rounds)]
        for name in ways:
            ratios = [t[name] / t["plain"] for t in times]
            print(
                f"{what}, {name:8} peak {memory[name] / 2**20:7.1f} MiB ({memory[name] / memory['plain']:.2f})"
                f"  {1e3 * statistics.median(t[name] for t in times):7.1f} ms"
                f"  {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )


if __name__ == "__main__":
    main()
