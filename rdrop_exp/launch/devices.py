"""Where trials may run: slots on GPUs, or on CPU cores where there is no GPU. Nothing here needs torch."""

import math
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for one trial at a time."""

    index: int
    gpu: str | None
    """As CUDA_VISIBLE_DEVICES writes it; None: no GPU is assigned."""
    threads: int

    def environment(self) -> dict[str, str]:
        """What its worker must find in its environment before it imports anything."""
        found = dict.fromkeys(THREADS, str(self.threads)) | {"RDROP_SLOT": str(self.index)}
        return found if self.gpu is None else found | {"CUDA_VISIBLE_DEVICES": self.gpu}

    def __str__(self) -> str:
        return f"slot {self.index}" if self.gpu is None else f"slot {self.index} (GPU {self.gpu})"


def allocate(
    gpus: Sequence[object] | str | int | None = None, per_gpu: int = 1, threads: int = 1, slots: int | None = None
) -> list[Slot]:
    """GPUs x per_gpu slots, neighbours on different GPUs, or cores / threads; `slots` overrides the number.

    `gpus`: None for all that are visible, a number for the first so many of them, or a list as CUDA_VISIBLE_DEVICES
    has it, visible or not. An empty list, or 0, for the CPU.
    """
    for name, value in {"per_gpu": per_gpu, "threads": threads, "slots": 1 if slots is None else slots}.items():
        if value < 1:
            raise ValueError(f"hydra.launcher.{name}={value} must be at least 1")
    if gpus is None or isinstance(gpus, int):
        found = visible_gpus()[:gpus]
        if len(found) < (gpus or 0):
            raise ValueError(f"hydra.launcher.gpus={gpus}, but {len(found)} can be seen")
    else:
        found = [str(gpu).strip() for gpu in (gpus.split(",") if isinstance(gpus, str) else gpus)]
    number = slots or (len(found) * per_gpu if found else max(1, cores() // threads))
    return [Slot(i, found[i % len(found)] if found else None, threads) for i in range(number)]


def visible_gpus() -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES allows, or else all that nvidia-smi lists; MIG slices instead of their GPU."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    listed = parse_gpus(nvidia_smi("-L"))
    if allowed is None or not listed:
        return listed
    return [gpu.strip() for gpu in allowed.split(",") if gpu.strip() not in ("", "-1")]


def parse_gpus(text: str) -> list[str]:
    """Device names from `nvidia-smi -L`: uuids, which mean the same in whatever order CUDA counts."""
    found: list[str] = []
    for line in text.splitlines():
        uuid = re.search(r"UUID: ([\w/-]+)", line)
        if uuid and line.startswith("GPU"):
            found.append(uuid[1])
        elif uuid and uuid[1].startswith("MIG"):
            if found and found[-1].startswith("GPU"):
                found.pop()
            found.append(uuid[1])
    return found


def free_memory(gpu: str) -> int | None:
    """Free memory of a GPU, MiB; None where nvidia-smi cannot say."""
    text = nvidia_smi("--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i", gpu).strip()
    return int(text) if text.isdigit() else None


def nvidia_smi(*arguments: str) -> str:
    try:
        done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def cores() -> int:
    """CPU cores that this process may use: its affinity, and the quota of its control group."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, math.ceil(int(quota) / int(period))))
