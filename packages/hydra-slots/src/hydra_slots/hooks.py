"""Functions of the application, named in options as module:function."""

from importlib import import_module
from typing import Any, TypeVar

Hook = TypeVar("Hook")


def takes_values(hook: Hook) -> Hook:
    """Decorates a `describe` that also takes nested dictionaries, which it must not change, for a DictConfig.

    It is given them wherever nothing in a configuration refers to anything else, which is many times as fast.
    """
    hook.takes_values = True  # type: ignore[attr-defined]
    return hook


def accepts_values(hook: Any) -> bool:
    return getattr(hook, "takes_values", False)


def load_hook(path: str, option: str) -> Any:
    """The function that `module:function` names, as the value of `option`; `SweepError` if it cannot be imported."""
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        from hydra_slots.errors import SweepError  # with it comes Hydra, which the package's other users may do without

        raise SweepError(f"{option}={path} cannot be imported as module:function ({error})") from None
