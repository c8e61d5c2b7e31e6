"""Which dropout-family regularizer to use, at what rate, and is the gain real.

The names below are imported on first use, so that the commands start without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rdrop_exp.api.loss import rdrop_loss
    from rdrop_exp.api.noise import install_noise
    from rdrop_exp.api.trials import compare, load, run, sweep

__all__ = ["compare", "install_noise", "load", "rdrop_loss", "run", "sweep"]
_MODULES = {"rdrop_loss": "loss", "install_noise": "noise"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module rdrop_exp has no attribute {name}")
    return getattr(import_module(f"rdrop_exp.api.{_MODULES.get(name, 'trials')}"), name)
