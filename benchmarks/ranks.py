"""One trial on one and on several ranks of this CPU: seconds of a step, and what an all-reduce adds on GPUs.

    python benchmarks/ranks.py                  # about two minutes on two idle cores
    python benchmarks/ranks.py --ranks 1 2 4    # with a core for each
    python benchmarks/ranks.py --steps 8        # does it run?

The same global batch of 128 for any number of ranks, a ViT (d 96 x 6) with R-Drop on 8 x 8 images, gloo, one thread a
rank. `wall` is the clock, which other work on the machine disturbs; `CPU` is the processor time of the busiest rank,
waiting left out: what the step would take on cores of one's own with a network that takes no time. Each is the least of
the rounds, in which the numbers of ranks take turns.
"""

import argparse
import json
import multiprocessing
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

VIT = {"patch_size": 2, "embed_dim": 96, "depth": 6, "num_heads": 3}

WARM = 4
PARAMETERS, FLOPS = 86.6e6, 105e9
"""Of ViT-B/16 at 224 pixels; per image and step, forward and backward."""


def options(folder: Path, steps: int) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "model": {
            "name": "vit_tiny_patch16_224",
            "args": {"patch_size": 2, "embed_dim": 96, "depth": 6, "num_heads": 3},
        },
        "regularizer": {"dropout": 0.1, "alpha": 1.0},
        "schedule": {"steps": steps},
        "validate_every": steps,
        "logger": {"wandb": "disabled", "progress": False},
        "device": "cpu",
    }


def one_rank(rank: int, ranks: int, port: int, folder: Path, steps: int) -> None:
    """Train, and write the seconds between the steps to a file of this rank."""
    if ranks > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    from rdrop_exp.config.checks import from_dict
    from rdrop_exp.train import loop, trial

    train_step, times = loop.train_step, []

    def timed(*arguments: Any) -> Any:
        times.append((time.perf_counter(), time.process_time()))
        return train_step(*arguments)

    loop.train_step = timed  # type: ignore[assignment]
    trial.run(from_dict(options(folder, steps)))
    steps_done = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(times[WARM:], times[WARM + 1 :], strict=False)]
    (folder / f"rank{rank}.json").write_text(json.dumps([min(column) for column in zip(*steps_done, strict=True)]))


def measure(ranks: int, steps: int) -> tuple[float, float]:
    """(wall, CPU) seconds of the quickest step, of the slowest rank."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        context = multiprocessing.get_context("spawn")
        arguments = [(rank, ranks, port, Path(name), steps) for rank in range(ranks)]
        processes = [context.Process(target=one_rank, args=each) for each in arguments]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        seconds = [json.loads((Path(name) / f"rank{rank}.json").read_text()) for rank in range(ranks)]
    return max(wall for wall, _ in seconds), max(cpu for _, cpu in seconds)


def all_reduce(gpus: int, bandwidth: float) -> float:
    """Seconds of a ring over float32 gradients: each byte is sent and received 2 (N - 1) / N times."""
    return 2 * (gpus - 1) / gpus * 4 * PARAMETERS / bandwidth


def table(batch: int, flops: float, fast: float, slow: float) -> None:
    """ViT-B with one global batch on 8, 64 and 512 GPUs: milliseconds of arithmetic and of the sum of gradients."""
    print(f"\nViT-B, batch {batch}, {flops / 1e12:g} TFLOP/s a GPU; ms: arithmetic, sum over fast and slow network")
    for gpus in (8, 64, 512):
        network = slow if gpus > 8 else fast
        times = batch * FLOPS / gpus / flops, all_reduce(gpus, fast), all_reduce(gpus, network)
        print(f"{gpus:4} GPUs " + " ".join(f"{1000 * each:7.1f}" for each in times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    best: dict[int, tuple[float, float]] = {}
    for _ in range(args.rounds):
        for ranks in args.ranks:
            found = measure(ranks, args.steps)
            best[ranks] = tuple(map(min, found, best.get(ranks, found)))  # type: ignore[assignment]
    first = best[args.ranks[0]]
    print("ranks  wall, ms  CPU, ms  wall ×   CPU ×")
    for ranks, (wall, cpu) in best.items():
        print(f"{ranks:5} {1000 * wall:9.1f} {1000 * cpu:8.1f} {first[0] / wall:7.2f} {first[1] / cpu:7.2f}")
    table(4096, 400e12, 300e9, 10e9)


if __name__ == "__main__":
    main()
