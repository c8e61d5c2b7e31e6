"""What dropout alone costs: forward and backward of one tensor, over the identity, against `nn.Dropout`.

    python benchmarks/dropout.py                       # one CPU thread, (128, 50, 384) float32, half a minute
    python benchmarks/dropout.py --device cuda         # also compiled
    python benchmarks/dropout.py --dtype bfloat16 --shape 256 197 768 --device cuda
    python benchmarks/dropout.py --rounds 2 --shape 8 10 16    # does it run?

All take turns in each round. The ratio is (it - identity) / (nn.Dropout - identity), round by round: median, with
lowest and highest. Each is checked first: the share that it keeps must be within five standard deviations of 1 - rate,
for each pass, and what it keeps, and its gradient, must be scaled by 1 / (1 - rate). CPU time on a CPU; on a GPU the
time between two events around many repeats.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rdrop_exp.noise.layers import drop

RATE, SECOND = 0.1, 0.25
BASE = "nn.Dropout"
Function = Callable[[Tensor], Tensor]


def bernoulli(x: Tensor, rate: Tensor) -> Tensor:
    """Dropout as one writes it where the rate is a tensor, which `F.dropout` does not take."""
    keep = 1 - rate
    return x * torch.bernoulli(keep.expand(x.shape)).to(x.dtype) / keep.to(x.dtype)


def ways(device: torch.device, compiled: bool) -> dict[str, tuple[Function, tuple[float, ...]]]:
    """Name → function, and the rate of each pass."""
    one, two = torch.tensor([RATE], device=device), torch.tensor([RATE, SECOND], device=device)
    found: dict[str, tuple[Function, tuple[float, ...]]] = {
        BASE: (nn.Dropout(RATE), (RATE,)),
        "torch.bernoulli, tensor rate": (lambda x: bernoulli(x, one), (RATE,)),
        "noise.drop": (lambda x: drop(x, one), (RATE,)),
        "noise.drop, a rate for each of two passes": (lambda x: drop(x, two), (RATE, SECOND)),
    }
    if compiled:
        found |= {f"{name}, compiled": (torch.compile(f, dynamic=False), rates) for name, (f, rates) in found.items()}
    return found


def check(name: str, function: Function, rates: tuple[float, ...], x: Tensor) -> None:
    """Stops the benchmark where `function` is not dropout at these rates."""
    ones = torch.ones_like(x, requires_grad=True)
    y = function(ones)
    y.backward(torch.ones_like(y))
    assert ones.grad is not None
    for rate, out, gradient in zip(rates, y.detach().chunk(len(rates)), ones.grad.chunk(len(rates)), strict=True):
        kept, sigma = (out != 0).double().mean().item(), math.sqrt(rate * (1 - rate) / out.numel())
        if abs(kept - (1 - rate)) > 5 * sigma:
            raise SystemExit(f"{name} keeps {kept:.6f}, not {1 - rate:g} (standard deviation {sigma:.1e})")
        scaled = torch.full_like(out, 1 / (1 - rate))
        expected = torch.where(out != 0, scaled, torch.zeros_like(out))
        rtol = 1e-5 if x.dtype == torch.float32 else 1e-2
        torch.testing.assert_close(out, expected, rtol=rtol, atol=0.0)
        torch.testing.assert_close(gradient, expected, rtol=rtol, atol=0.0)


def seconds(function: Function, x: Tensor, gradient: Tensor, repeats: int) -> float:
    """Of one forward and backward, the mean over `repeats`."""
    if x.device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            torch.autograd.grad(function(x), x, gradient)
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / repeats
    begin = time.process_time()
    for _ in range(repeats):
        torch.autograd.grad(function(x), x, gradient)
    return (time.process_time() - begin) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shape", type=int, nargs="+", default=[128, 50, 384])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=None, help="in a round; by default 5, on a GPU 100")
    parser.add_argument("--compile", action="store_true", help="also compiled, as on a GPU")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    device = torch.device(options.device)
    cuda = device.type == "cuda"
    x = torch.randn(options.shape, device=device, dtype=getattr(torch, options.dtype), requires_grad=True)
    gradient = torch.randn_like(x)
    found = ways(device, compiled=cuda or options.compile)
    for name, (function, rates) in found.items():
        check(name, function, rates, x)
    # The identity as a node of the graph, so that each is_faster for autograd once.
    functions: dict[str, Function] = {"identity": lambda x: x.view_as(x)} | {k: f for k, (f, _) in found.items()}
    repeats = options.repeats or (100 if cuda else 5)
    for function in functions.values():
        seconds(function, x, gradient, 3)
    times = [{name: seconds(f, x, gradient, repeats) for name, f in functions.items()} for _ in range(options.rounds)]
    where = torch.cuda.get_device_name(device) if cuda else "one thread"
    print(f"torch {torch.__version__}, {where}, {tuple(x.shape)} {options.dtype}, {options.rounds} rounds")
    print(f"{'forward and backward':52}{'median':>12}   over identity, ratio to {BASE}")
    for name in functions:
        line = f"{name:52}{1e3 * statistics.median(t[name] for t in times):9.3f} ms"
        if name != "identity":
            ratios = [(t[name] - t["identity"]) / (t[BASE] - t["identity"]) for t in times]
            line += f"   {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(line)


if __name__ == "__main__":
    main()
