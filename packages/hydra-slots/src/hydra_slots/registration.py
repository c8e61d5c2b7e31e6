"""What an application adds to the plugins: defaults of its own, and a command line that suits the sweeper."""

import contextlib
import os
import re
import sys
from typing import Any


def register(launcher: dict[str, Any] | None = None, sweeper: dict[str, Any] | None = None) -> None:
    """Give the launchers `slots` and `slurm` and the sweeper `union` defaults of the application's own.

    For this process, also after Hydra's singletons are reset; the last call decides.
    """
    from hydra_slots import options

    options.application = dict.fromkeys((options.SlotsConf, options.SlurmConf), launcher or {})
    options.application[options.UnionConf] = sweeper or {}
    options.store()
    if {"-sc", "--shell-completion"} & set(sys.argv):
        offer_sweeps(options.UnionConf(**(sweeper or {})).folder, os.environ.get("COMP_LINE", ""))


def offer_sweeps(folders: Any, line: str) -> None:
    """Let Hydra's tab completion know the values of `sweep=`, and of `scale=` beside it on the line that it completes:
    it completes the choices of groups.
    """
    from hydra_slots.errors import SweepError
    from hydra_slots.hydra_private import store_config
    from hydra_slots.sweep_file import files, scales

    offered = {"sweep": list(files(folders)), "scale": list[str]()}
    if chosen := re.search(r"\bsweep=([\w./-]+)\s", line):
        with contextlib.suppress(SweepError):
            offered["scale"] = list(scales(folders, chosen[1]))
    for group, choices in offered.items():
        for choice in choices:
            store_config(group, choice, {})
            inside, _, name = choice.rpartition("/")
            if inside:  # Hydra lists the entry above, and then looks it up in the group inside
                store_config(f"{group}/{inside}", name, {})


PACKAGES = {
    "joblib": "hydra-joblib-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
    "ray": "hydra-ray-launcher",
    "ray_aws": "hydra-ray-launcher",
    "rq": "hydra-rq-launcher",
    "optuna": "hydra-optuna-sweeper",
    "ax": "hydra-ax-sweeper",
    "nevergrad": "hydra-nevergrad-sweeper",
}
"""Launchers and sweepers of other packages, and what to install for them."""


def missing_package(word: str) -> str:
    """The package to install for an override such as hydra/launcher=ray; empty if there is none to install."""
    from importlib.util import find_spec

    choice = re.fullmatch(r"hydra/(?:launcher|sweeper)=(\w+)", word)
    package = PACKAGES.get(choice[1], "") if choice else ""
    return package if package and find_spec(f"hydra_plugins.{package.replace('-', '_')}") is None else ""


def arguments(argv: list[str]) -> list[str]:
    """The command line, rewritten for a multirun so that Hydra leaves to the sweeper what only the sweeper can do.

    `sweep=NAME` becomes `hydra.sweeper.sweep=NAME`, `scale=NAME` beside it `hydra.sweeper.scale=NAME`, and
    `together=key+key` becomes `hydra.sweeper.together=key+key`. An application with options of these names is given the
    long forms. Hydra applies a single value,
    unlike a list of them, to the default choices of all groups at once and so refuses a key that only another choice
    has: `group.key=1` becomes `group.key=choice(1)`. Without -m or --multirun nothing changes. `SweepError` for a
    launcher or sweeper that is not installed.
    """
    from hydra_slots.errors import SweepError

    for word in argv:
        if package := missing_package(word):
            raise SweepError(f"{word} needs another package: pip install {package}")
    if not {"-m", "--multirun"} & set(argv):
        return list(argv)
    rewritten = []
    chosen = ("sweep=", "scale=") if any(word.startswith("sweep=") for word in argv) else ()
    for word in argv:
        if word.startswith("together="):
            if re.search(r"=[\w./@-]+,", word):
                raise SweepError(f"{word}: join the keys by +, as in {word.replace(',', '+')}")
            word = f"hydra.sweeper.{word}"
        elif word.startswith(chosen):
            if re.search(r"=[\w/-]+,", word):
                raise SweepError(f"{word}: run one {word.partition('=')[0]} at a time")
            word = f"hydra.sweeper.{word}"
        elif match := re.fullmatch(r"((?!hydra\.)\w+(?:\.\w+)+)=(?!\w+\()(.+)", word, re.DOTALL):
            word = f"{match[1]}=choice({match[2]})"
        rewritten.append(word)
    return rewritten


def why_unknown(key: str) -> str:
    """Why `key` is not an option of `slots` or `union`, with the nearest one; empty if it is one, or another's."""
    from hydra_slots import options

    return options.why_unknown(key)
