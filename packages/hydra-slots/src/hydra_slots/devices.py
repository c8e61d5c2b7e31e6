"""Where trials may run: slots on GPUs, or on CPU cores if there is no GPU. Importing this needs no torch, no Hydra."""

import math
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


NAME = re.compile(r"\d+|(GPU|MIG)-[\w/-]+")
"""A device in CUDA_VISIBLE_DEVICES."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for one trial at a time."""

    index: int
    gpu: str | None
    """As CUDA_VISIBLE_DEVICES writes it, several for a trial of several processes; None: no GPU is assigned."""
    threads: int
    ranks: int = 1
    """Processes of a trial."""

    def environment(self) -> dict[str, str]:
        """Environment of its worker, to be set before anything is imported."""
        variables = dict.fromkeys(THREADS, str(self.threads)) | {"HYDRA_SLOT": str(self.index)}
        return variables if self.gpu is None else variables | {"CUDA_VISIBLE_DEVICES": self.gpu}

    def __str__(self) -> str:
        gpus = "" if self.gpu is None else f" (GPU {self.gpu})" if self.ranks == 1 else f" (GPUs {self.gpu})"
        return f"worker {self.index}{gpus}"


def allocate(
    gpus: Any = None, per_gpu: int = 1, threads: int = 1, slots: int | None = None, ranks: int = 1
) -> list[Slot]:
    """GPUs × per_gpu slots, neighbours on different GPUs, or cores / threads; `slots` overrides the number.

    With several `ranks`, a slot has as many GPUs, or as many times the threads.

    `gpus`: None for all visible ones, a number for the first so many of them, or a list as CUDA_VISIBLE_DEVICES has
    it, visible or not. An empty list, or 0, for the CPU. `SweepError` for what cannot be allocated.
    """
    from hydra_slots.errors import SweepError

    check_gpus(gpus)
    if gpus is None or isinstance(gpus, int):
        chosen = visible_gpus()[:gpus]
        if len(chosen) < (gpus or 0):
            raise SweepError(f"hydra.launcher.gpus={gpus}, but only {len(chosen)} can be seen")
    else:
        chosen = [str(gpu).strip() for gpu in (gpus.split(",") if isinstance(gpus, str) else gpus)]
    if chosen and ranks > 1:
        if len(chosen) < ranks:
            given = f"hydra.launcher.ranks_per_trial={ranks} needs as many GPUs"
            raise SweepError(f"{given}, but there are {len(chosen)}: hydra.launcher.gpus=0 trains on the CPU")
        chosen = [",".join(chosen[i : i + ranks]) for i in range(0, len(chosen) - ranks + 1, ranks)]
    number = slots or (len(chosen) * per_gpu if chosen else max(1, cores() // (threads * ranks)))
    return [Slot(i, chosen[i % len(chosen)] if chosen else None, threads, ranks) for i in range(number)]


def check_gpus(gpus: Any) -> None:
    """`SweepError` unless `gpus` is None, a count, or device names as CUDA_VISIBLE_DEVICES has them."""
    from hydra_slots.errors import SweepError

    names = gpus.split(",") if isinstance(gpus, str) else gpus if isinstance(gpus, list | tuple) else []
    count = gpus is None or (type(gpus) is int and gpus >= 0)
    listed = isinstance(gpus, str | list | tuple) and all(NAME.fullmatch(str(name).strip()) for name in names)
    if not count and not listed:
        valid = "a number of GPUs, a list such as [0,1], or null for all visible ones"
        raise SweepError(f"hydra.launcher.gpus={gpus} must be {valid}")


def visible_gpus() -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES allows, or else all that nvidia-smi lists; MIG slices instead of their GPU."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    listed = parse_gpus(nvidia_smi("-L"))
    if allowed is None or not listed:
        return listed
    return [gpu.strip() for gpu in allowed.split(",") if gpu.strip() not in ("", "-1")]


def parse_gpus(text: str) -> list[str]:
    """Device names from `nvidia-smi -L`: uuids, which do not depend on the order in which CUDA counts."""
    devices: list[str] = []
    for line in text.splitlines():
        uuid = re.search(r"UUID: ([\w/-]+)", line)
        if uuid and line.startswith("GPU"):
            devices.append(uuid[1])
        elif uuid and uuid[1].startswith("MIG"):
            if devices and devices[-1].startswith("GPU"):
                devices.pop()
            devices.append(uuid[1])
    return devices


def free_memory(gpu: str) -> int | None:
    """Free memory of a GPU, or the least of several, MiB; None if nvidia-smi does not report it."""
    words = nvidia_smi("--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i", gpu).split()
    return min(map(int, words)) if words and all(word.isdigit() for word in words) else None


def nvidia_smi(*arguments: str) -> str:
    try:
        done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def rank() -> int:
    """Of this process in a trial of several, as torchrun and `team.Team` say; 0: the first, or the only one."""
    return int(os.environ.get("RANK") or 0) if int(os.environ.get("WORLD_SIZE") or 1) > 1 else 0


def cores() -> int:
    """CPU cores that this process may use: its affinity, and the quota of its control group."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, math.ceil(int(quota) / int(period))))
