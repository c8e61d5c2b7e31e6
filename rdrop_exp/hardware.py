"""What a trial runs on: devices, cores, versions."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from hydra_slots.devices import cores
from rdrop_exp.config.schema import OptionError

if TYPE_CHECKING:
    import torch

__all__ = ["choose_device", "cores", "describe_device", "local_ranks", "versions"]


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
