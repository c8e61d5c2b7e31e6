"""What the benchmarks time with: on a CPU the seconds of this process, which other work hardly touches."""

import time

import torch


def seconds(device: torch.device) -> float:
    """On a GPU the wall clock, once all that was asked of it is done."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()
