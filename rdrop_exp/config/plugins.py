"""Plugins: modules of the user's that add schedules, divergences, data sets and tasks to the package's tables.

They are named by the option `plugins`, or belong to an installed package that declares an entry point in the group
`rdrop_exp.plugins`. Both are imported once in each process, before options are checked.
"""

import functools
import importlib
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from rdrop_exp.config.schema import OptionError, first_line, nearest, shown

GROUP = "rdrop_exp.plugins"
_modules: dict[str, ModuleType] = {}


def loaded() -> dict[str, ModuleType]:
    """The plugins of this process by their modules' names, in the order in which they were loaded."""
    return dict(_modules)


def load(modules: Iterable[str]) -> None:
    """Import installed plugins, then these; `OptionError` for one that is missing, or fails."""
    for module, package in installed():
        _load(module, f"the installed package {package}")
    for module in modules:
        _load(module, f"plugins=[{shown(module)}]")


@functools.cache
def installed() -> list[tuple[str, str]]:
    """Module and package of each declared entry point."""
    from importlib.metadata import entry_points

    return [(point.module, point.dist.name if point.dist else point.name) for point in entry_points(group=GROUP)]


def search_here() -> None:
    """Let modules of the current folder be imported, after all that is installed."""
    if (here := os.getcwd()) not in sys.path and "" not in sys.path:
        sys.path.append(here)


def _load(name: str, given: str) -> None:
    if name in _modules:
        return
    if not all(part.isidentifier() for part in name.split(".")):
        raise OptionError(f"{given} must be the name of a module, such as my_plugin for my_plugin.py")
    search_here()
    try:
        _modules[name] = importlib.import_module(name)
    except OptionError as error:
        raise OptionError(f"{given}: {error}") from error
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise OptionError(f"{given} needs the module {error.name}, which is not installed") from error
        near = nearest(name, [path.stem for path in Path.cwd().glob("*.py")])
        raise OptionError(f"{given}: no module {error.name} is installed or in {Path.cwd()}{near}") from None
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno for f in reversed(frames) if Path(f.filename).stem == name.rpartition(".")[2]), None)
        where = f" (line {line})" if line else ""
        raise OptionError(f"{given} cannot be imported: {type(error).__name__}: {first_line(error)}{where}") from error
