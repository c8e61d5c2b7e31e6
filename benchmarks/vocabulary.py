"""The consistency loss over a vocabulary: chunks and a gradient in closed form against four log-softmax tensors.

    python benchmarks/vocabulary.py                     # 2 x 256 tokens, 32,000 classes; half a minute
    python benchmarks/vocabulary.py --device cuda --tokens 4096

Symmetric KL of two passes, forward and backward to the logits, float32; every way in turn, in one process. Memory is
the highest sum of live tensors beyond the logits, as torch's profiler sees allocations (on CUDA the allocator's own
peak). The gradients are compared with the plain way's in float64.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rdrop_exp.train.losses import consistency


def plain(outputs: Tensor) -> Tensor:
    """As the R-Drop paper's snippet has it: a log-softmax and a softmax of both passes, each way."""
    a, b = outputs
    forward = F.kl_div(F.log_softmax(a, -1), F.softmax(b, -1), reduction="none").sum(-1)
    backward = F.kl_div(F.log_softmax(b, -1), F.softmax(a, -1), reduction="none").sum(-1)
    return 0.5 * (forward + backward)


WAYS: dict[str, Callable[[Tensor], Tensor]] = {"plain": plain, "chunked": consistency}


def step(way: str, logits: Tensor) -> Tensor:
    """The gradient of the mean over tokens."""
    (gradient,) = torch.autograd.grad(WAYS[way](logits).mean(), logits)
    return gradient


def peak(way: str, logits: Tensor) -> int:
    """Bytes beyond what was there before."""
    if logits.is_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(way, logits)
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step(way, logits)
    now = highest = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            highest = max(highest, now)
    return highest


def seconds(way: str, logits: Tensor) -> float:
    start = time.perf_counter()
    step(way, logits)
    if logits.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--classes", type=int, default=32_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    logits = torch.randn(2, options.tokens, options.classes, device=options.device, requires_grad=True)
    exact = step("plain", logits.double())
    for way in WAYS:
        error = (step(way, logits) - exact).abs().max() / exact.abs().max()
        assert error < 1e-4, f"{way}: the gradient is off by {error:.1e}"
    memory = {way: peak(way, logits) for way in WAYS}
    times = [{way: seconds(way, logits) for way in WAYS} for _ in range(options.rounds)]
    size = logits.numel() * logits.element_size()
    print(f"torch {torch.__version__}, {options.device}, 2 x {options.tokens} x {options.classes}:", end=" ")
    print(f"{size / 2**20:.0f} MiB of logits")
    for way in WAYS:
        ratios = [t[way] / t["plain"] for t in times]
        print(
            f"{way:8} peak {memory[way] / 2**20:7.1f} MiB ({memory[way] / memory['plain']:.2f})"
            f"  {1e3 * statistics.median(t[way] for t in times):7.1f} ms"
            f"  {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
