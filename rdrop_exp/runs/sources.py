"""Hashes of Python source, of the package and of other modules, without importing anything."""

import functools
import hashlib
import os
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
AFTERWARDS = ("report", "choose", "analysis", "statistics", "questions", "api", "starter", "cli.py", "__main__.py")
"""What plans, starts and reads trials; a change there makes no result another one, and is no part of the hash."""


@functools.cache
def package_hash() -> str:
    """Of what trains, in this process's version of it."""
    return _hash(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in AFTERWARDS)


def module_hash(name: str) -> str:
    """Of the module's file; of all files of its folder where it is, or is in, a package. Empty where it is not found.

    A module that is not loaded is looked for in the current directory too. The name may come from anyone's file.
    """
    file = getattr(sys.modules.get(name), "__file__", None) or _located(name)
    if not file or not file.endswith(".py") or not os.path.isfile(file):
        return ""
    return _file_hash(Path(file), os.path.basename(file) == "__init__.py" or "." in name)


def _located(name: str) -> str | None:
    spec: ModuleSpec | None = None
    path = [*sys.path, os.getcwd()]
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:count]), path) if all(p.isidentifier() for p in parts) else None
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    return spec.origin if spec else None


@functools.cache
def _file_hash(file: Path, with_folder: bool) -> str:
    return _hash(file.parent.rglob("*.py") if with_folder else [file])


def _hash(paths: Iterable[Path]) -> str:
    whole, files = hashlib.sha256(), sorted(path for path in paths if path.is_file())
    folder = os.path.commonpath([path.parent for path in files]) if files else ""
    for path in files:
        source = path.read_bytes()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{len(source)}\0".encode() + source)
    return whole.hexdigest()[:16]
