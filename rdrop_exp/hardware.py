"""What a trial runs on: devices, cores, versions."""

import functools
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_slots.devices import cores
from rdrop_exp.config.schema import OptionError

if TYPE_CHECKING:
    import torch

__all__ = ["bf16_hint", "choose_device", "cores", "describe_device", "local_ranks", "versions"]


def choose_device(name: str) -> "torch.device":
    """The device of that name; auto: CUDA, else Apple's, else the CPU. `OptionError` for one that is not available."""
    import torch

    if name == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
        if device.type == "meta" or (device.type == "cpu" and device.index):
            raise RuntimeError("choose auto, cpu, cuda, cuda:N or mps")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"device={name} is not available: {str(error).splitlines()[0]}") from None
    return device


BF16_MODELS = ("deit", "mixer", "vit")
"""Beginnings of the names of models that were measured to train at least 1.6 times as fast (docs/benchmarks.md)."""
BF16_WIDTH = 96
"""Width from which they were; narrower ones are no faster."""


@functools.cache
def multiplies_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices (Intel's AMX); without AMX it was not measured to be faster."""
    info = Path("/proc/cpuinfo")
    return info.is_file() and " amx_bf16" in info.read_text(errors="replace")[:8000]


def bf16_hint(model: str, width: int | None, precision: str, compiled: bool) -> str:
    """A sentence where a trial on this CPU would be much faster under bf16; else empty. `width`: None: the model's."""
    wide = width is None or width >= BF16_WIDTH
    if precision != "fp32" or compiled or not wide or not model.startswith(BF16_MODELS) or not multiplies_bf16():
        return ""
    measured = f"a ViT and a Mixer of width {BF16_WIDTH} about 1.8 times as fast"
    return f"This CPU multiplies bf16: precision=bf16 trained {measured}"


def local_ranks() -> int:
    """Processes of this trial on this machine, as torchrun says."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE") or 1))


def describe_device(device: "torch.device") -> str:
    """The GPU's name, or the kind of device."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    known = {"python": platform.python_version()}
    for name in ("rdrop-exp", "torch", "timm", "torchvision"):
        try:
            known[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that is not installed
            known[name] = "unknown"
    return known
