"""What torch.compile gains on a training step whose drop rate moves at every step, and what a moving rate can cost.

    python benchmarks/compile.py                  # one CPU thread; half a minute and more for each time it compiles
    python benchmarks/compile.py --device cuda    # also as CUDA graphs, with the memory that each takes
    python benchmarks/compile.py --tiny           # does it all run? minutes
    python benchmarks/compile.py --only ours      # without timm's own noise, which is what takes long

A step is forward, loss, backward and AdamW; the network alone is compiled. The rate falls at every step, as a linear
schedule has it. `ours` is `rdrop_exp.noise`, whose rates are tensors; `stock` is timm's own model with `nn.Dropout` at
the same places, whose `p` is set: torch compiles it anew for each rate until its limit, then runs it uncompiled.
`first` and `warm-up` are the wall seconds of the first step and of the first 20, the cache empty and the compiler warm;
then eager and compiled steps take turns: CPU time on a CPU, wall time on a GPU; medians, with lowest and highest ratio.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch._inductor.utils import fresh_cache

from rdrop_exp.config.checks import from_dict
from rdrop_exp.models.build import build_network
from rdrop_exp.train.losses import loss

NAME, ARGS, SIZE = "vit_tiny_patch16_224", {"patch_size": 4, "embed_dim": 96, "depth": 6, "num_heads": 3}, 28
TINY = {"patch_size": 14, "embed_dim": 16, "depth": 1, "num_heads": 2}
RATE, ALPHA = 0.1, 0.5


class Case(NamedTuple):
    label: str
    stock: bool
    passes: int
    mode: str | None  # of torch.compile


CASES = [
    Case("ours, dropout", False, 1, None),
    Case("ours, R-Drop", False, 2, None),
    Case("ours, dropout, CUDA graphs", False, 1, "reduce-overhead"),
    Case("ours, R-Drop, CUDA graphs", False, 2, "reduce-overhead"),
    Case("stock, dropout", True, 1, None),
]


def build(case: Case, args: dict[str, Any], device: torch.device) -> tuple[nn.Module, Callable[[float], None]]:
    """A network in training mode, and what sets its rates to a share of RATE."""
    torch.manual_seed(0)
    if case.stock:
        rates = dict.fromkeys(("pos_drop_rate", "attn_drop_rate", "proj_drop_rate"), RATE)
        network = timm.create_model(NAME, img_size=SIZE, in_chans=1, num_classes=10, **rates, **args).to(device)
        dropouts = [m for m in network.modules() if isinstance(m, nn.Dropout) and m.p > 0]

        def move(share: float) -> None:
            for module in dropouts:
                module.p = RATE * share

        return network.train(), move
    regularizer = {"dropout": RATE, "alpha": ALPHA if case.passes > 1 else 0.0}
    o = from_dict({"model": {"name": NAME, "args": args}, "regularizer": regularizer})
    network, noise = build_network(o, classes=10, channels=1, image_size=SIZE, device=device)
    return network.train(), lambda share: noise.set_rates(share, case.passes)


class Stepper:
    """Training steps of one network, compiled or not, on one batch."""

    def __init__(self, case: Case, args: dict[str, Any], batch: int, device: torch.device, compiled: bool) -> None:
        self.network, self.move = build(case, args, device)
        self.forward = torch.compile(self.network, mode=case.mode) if compiled else self.network
        self.graphs = compiled and case.mode == "reduce-overhead"
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3)
        self.inputs = torch.randn(batch, 1, SIZE, SIZE, device=device)
        self.targets = torch.arange(batch, device=device) % 10
        self.passes = case.passes

    def outputs(self, share: float) -> Tensor:
        self.move(share)
        if self.graphs:  # what the last step's graphs hold is no longer needed
            torch.compiler.cudagraph_mark_step_begin()
        outputs: Tensor = self.forward(self.inputs)
        return outputs

    def step(self, share: float) -> None:
        losses = loss(self.outputs(share), self.targets, passes=self.passes, alpha=ALPHA)
        losses.total.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def seconds(self, shares: list[float], now: Callable[[], float]) -> float:
        """Of one step, the mean over these shares of the rate."""
        start = now()
        for share in shares:
            self.step(share)
        return (now() - start) / len(shares)

    def follows(self) -> bool:
        """Whether outputs go to those without noise as the rate goes to 0: compiled code must not have kept a rate."""
        # Detached, not under no_grad, for which all would be compiled anew; cloned, as graphs overwrite their outputs.
        low, high = (self.outputs(share).detach().clone() for share in (1e-9, 1.0))
        clean = self.network.eval()(self.inputs).detach()  # repeated for its passes, as these are
        self.network.train()
        return low.shape == clean.shape and bool((low - clean).abs().mean() < 0.1 * (high - clean).abs().mean())


def falling(total: int) -> Iterator[float]:
    """A linear schedule of shares, from 1 to 0.5."""
    return (1 - 0.5 * step / total for step in range(total))


def measure(case: Case, options: argparse.Namespace) -> str:
    """Eager and compiled in turns, from a compiler that knows nothing; a line of the table."""
    device, cuda = torch.device(options.device), options.device.startswith("cuda")
    args = TINY if options.tiny else ARGS

    def wall() -> float:
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    torch.compiler.reset()  # torch tells networks of one class apart by their code, not by their hooks
    torch.compile(lambda x: x.sin())(torch.ones(8, device=device))  # the compiler's own start is not what is measured
    counters.clear()
    first: list[float] = []
    warm: list[float] = []
    memory: list[int] = []
    steppers: list[Stepper] = []
    schedules: list[Iterator[float]] = []
    for compiled in (False, True):
        before = reserved(cuda)
        stepper = Stepper(case, args, options.batch, device, compiled)
        shares = falling(options.warm + options.rounds * options.steps)
        first.append(stepper.seconds([next(shares)], wall))
        warm.append(
            first[-1] + (options.warm - 1) * stepper.seconds([next(shares) for _ in range(options.warm - 1)], wall)
        )
        memory.append(reserved(cuda) - before)
        steppers.append(stepper)
        schedules.append(shares)
    graphs = counters["stats"]["unique_graphs"]
    rounds = []
    for _ in range(options.rounds):
        parts = [[next(shares) for _ in range(options.steps)] for shares in schedules]
        now = wall if cuda else time.process_time
        rounds.append([stepper.seconds(part, now) for stepper, part in zip(steppers, parts, strict=True)])
    again = counters["stats"]["unique_graphs"] - graphs
    for stepper in steppers:
        if not stepper.follows():
            raise SystemExit(f"{case.label}: the noise does not follow its rate; no figure of it means anything")
    eager, compiled_ = (1e3 * statistics.median(column) for column in zip(*rounds, strict=True))
    ratios = [b / a for a, b in rounds]
    line = (
        f"{case.label:28}{first[1]:7.1f} s{warm[1]:8.1f} s{graphs:5}{f'+{again}' if again else '':4}"
        f"{eager:9.2f} ms{compiled_:9.2f} ms   {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    return line + (f"{memory[0] / 2**20:9.0f}{memory[1] / 2**20:7.0f} MiB" if cuda else "")


def reserved(cuda: bool) -> int:
    """Bytes of device memory that torch holds, the pools of CUDA graphs included; what is unused is given back."""
    if not cuda:
        return 0
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="in a round, of each")
    parser.add_argument("--warm", type=int, default=20, help="steps before those that are timed")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--only", default="", help="cases whose name begins so")
    parser.add_argument("--tiny", action="store_true", help="a network of one block, and two short rounds")
    options = parser.parse_args()
    if options.tiny:
        options.rounds, options.steps, options.warm, options.batch = 2, 2, 3, 8
    torch.set_num_threads(1)
    cuda = options.device.startswith("cuda")
    where = torch.cuda.get_device_name(options.device) if cuda else "one thread"
    print(
        f"torch {torch.__version__}, {where}, vit_micro_28{' cut down' if options.tiny else ''}, batch {options.batch}"
    )
    print(
        f"{'':28}{'first':>9}{'warm-up':>10}{'graphs':>9}{'eager':>9}{'compiled':>15}   compiled / eager"
        + ("     memory, eager and compiled" if cuda else "")
    )
    for case in CASES:
        if case.label.startswith(options.only) and (cuda or not case.mode):
            with fresh_cache():
                print(measure(case, options), flush=True)


if __name__ == "__main__":
    main()
