"""Functions of the application, named in options as module:function."""

from importlib import import_module
from typing import Any

from hydra_slots.errors import SweepError


def load_hook(path: str, option: str) -> Any:
    """The function that `module:function` names, as the value of `option`; `SweepError` if it cannot be imported."""
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SweepError(f"{option}={path} cannot be imported as module:function ({error})") from None
