"""How an application gets the sweeper and the launcher: plugins for Hydra, and a command line that suits them."""

import re
import sys
from typing import Any


def register(launcher: dict[str, Any] | None = None, sweeper: dict[str, Any] | None = None) -> None:
    """Make Hydra know the sweeper `union` and the launcher `runner`, with the application's own defaults for options.

    Works whether or not Hydra's plugin scan has found an installed copy; the last call decides the defaults.
    """
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    from hydra.core.plugins import Plugins

    from rdrop_exp.launch.options import PLUGIN, store

    plugins = Plugins.instance()  # scans, and so may import an installed copy of plugin.py
    if f"{PLUGIN}.UnionSweeper" not in plugins.class_name_to_class:
        spec = spec_from_file_location(PLUGIN, Path(__file__).with_name("plugin.py"))
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[PLUGIN] = module_from_spec(spec)
        spec.loader.exec_module(module)
        plugins.register(module.UnionSweeper)
        plugins.register(module.RunnerLauncher)
    store(launcher, sweeper)


def arguments(argv: list[str]) -> list[str]:
    """The command line, rewritten for a multirun so that Hydra leaves to the sweeper what only the sweeper can do.

    `sweep=NAME` becomes `hydra.sweeper.sweep=NAME`. Hydra applies a single value, unlike a list of them, to the default
    choices of all groups at once and so refuses a key that only another choice has: `group.key=1` becomes
    `group.key=choice(1)`. Without -m or --multirun nothing changes.
    """
    if not {"-m", "--multirun"} & set(argv):
        return list(argv)
    rewritten = []
    for word in argv:
        if word.startswith("sweep="):
            word = f"hydra.sweeper.{word}"
        elif match := re.fullmatch(r"((?!hydra\.)\w+(?:\.\w+)+)=(?!\w+\()(.+)", word, re.DOTALL):
            word = f"{match[1]}=choice({match[2]})"
        rewritten.append(word)
    return rewritten
