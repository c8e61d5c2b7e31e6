"""Tables that a plugin adds entries to. The package's own names cannot be replaced, as results go by them."""

from collections.abc import Callable
from typing import Any, TypeVar

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError

Entry = TypeVar("Entry")


class Registry(dict[str, Entry]):
    """Name → function; `OptionError` for a name that is taken, except by an earlier load of the same function."""

    def __init__(self, option: str, entries: dict[str, Entry]) -> None:
        super().__init__(entries)
        self.option = option

    def __setitem__(self, name: str, entry: Entry) -> None:
        if name in self and _source(self[name]) != _source(entry):
            raise OptionError(f"{self.option}={name} is taken by {_source(self[name])[0]}: choose another name")
        super().__setitem__(name, entry)


def _source(entry: Any) -> tuple[str, str]:
    return str(getattr(entry, "__module__", "")), str(getattr(entry, "__qualname__", ""))


DATA_SETS: Registry[Callable[[Dataset], Any]] = Registry("dataset.name", {})
"""Data sets of plugins: (options) → {"train": (images, labels)}, names of the classes; see `data/registered.py`."""
TASKS: Registry[Callable[[Options], Any]] = Registry("dataset.name", {})
"""Tasks of plugins, by the name of their data set: (options) → `tasks.task.Task`."""
