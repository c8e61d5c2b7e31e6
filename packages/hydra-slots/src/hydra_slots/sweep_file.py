"""Files of named sweeps: which there are, and what one holds at a scale, with its keys and their types checked.

A named sweep is one YAML file, a union of grids:

    title: What alpha costs and gains        # what the plan and the report call it
    answers: Does the best alpha depend on the rate?
    baseline: none                           # the group that the report compares with
    name: alpha                              # the experiment, where it is not the file's name
    seeds: 8                                 # planned seeds of each group; the `repeat` of grids without one
    smallest: 0.5                            # smallest difference worth having, in the unit of the report
    spread: 0.8                              # known standard deviation of paired differences
    expects: [{better: rdrop, than: none}]   # left to `hydra.sweeper.check`, and to the reader of sweep.yaml
    overrides: {schedule.epochs: 5}          # of every grid that does not set the same key
    repeat: 3                                # seeds 0, 1, 2; or {seed: 3}, or {seed: [4, 7]}
    grids:
      - overrides: {regularizer: none}
      - overrides:
          regularizer: rdrop,rdrop_early     # text: Hydra's sweep syntax, a,b range() choice() glob()
          regularizer.alpha: [0.1, 0.5]      # list: its values
        together:                            # lists of equal length, whose values move together
          - {regularizer.passes: [2, 4], optimizer.batch_size: [128, 64]}
    scales:                                  # `scale=gpu` replaces keys above, and merges `overrides`
      cpu:                                   # the first is the default
      gpu: {seeds: 4, overrides: {schedule.epochs: 90}}
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from hydra_slots.errors import SweepError, suggestion

TEXTS = ("title", "answers", "baseline", "name")
QUESTION = ("seeds", "smallest", "spread", "expects")
"""What a sweep states before it runs."""
PARTS = ("overrides", "together", "repeat")
KEYS = (*TEXTS, *QUESTION, *PARTS, "grids")
MOST_SEEDS = 10_000
NOT_OURS = "wandb"
"""A folder of this name holds sweep files of Weights & Biases."""


def is_positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf


def are_mappings(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


VALID: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "seeds": (f"a whole number from 2 to {MOST_SEEDS}", lambda v: type(v) is int and 2 <= v <= MOST_SEEDS),
    "smallest": ("a number above 0", is_positive),
    "spread": ("a number above 0", is_positive),
    "expects": ("a list of mappings such as {better: A, than: B}", are_mappings),
    "overrides": ("a mapping such as {key: value}", lambda v: isinstance(v, dict)),
    "grids": ("a list of mappings", are_mappings),
    "scales": (
        "a mapping from names to mappings such as {cpu: {seeds: 8}}",
        lambda v: isinstance(v, dict) and all(isinstance(k, str) and isinstance(v[k] or {}, dict) for k in v),
    ),
}
"""What the values of keys may be, in words and as a check; null is as good as a missing key."""


Folders = str | list[str]
"""One folder of named sweeps, or several: of a name in two of them, the first counts."""


def files(folders: Folders) -> dict[str, Path]:
    """The named sweeps by name, folder by folder; those of a sub-folder are called `folder/name`."""
    found: dict[str, Path] = {}
    for folder in [folders] if isinstance(folders, str) else folders:
        paths = [path for pattern in ("*.yaml", "*/*.yaml") for path in Path(folder).glob(pattern) if path.is_file()]
        for name, path in sorted((path.relative_to(folder).with_suffix("").as_posix(), path) for path in paths):
            if not name.startswith(f"{NOT_OURS}/"):
                found.setdefault(name, path)
    return found


def listing(folders: Folders) -> str:
    """The named sweeps, a line each: name and title."""
    titles = {name: load(path).get("title", "") for name, path in files(folders).items()}
    width = max(map(len, titles), default=0)
    lines = [f"{name:{width}}  {title}".rstrip() for name, title in titles.items()]
    return "\n".join(lines) or f"no sweeps in {in_words(folders)}"


def in_words(folders: Folders) -> str:
    return folders if isinstance(folders, str) else " or ".join(folders)


def read_file(folder: Folders, name: str, scale: str | None = None) -> dict[str, Any]:
    """The keys of a named sweep at a scale (None: its first), which becomes a key of its own where the file has any.

    `SweepError` where there is no such sweep or scale, or a key or its value is not valid.
    """
    content = checked_file(folder, name)
    by_name = content.pop("scales", None) or {}
    if not by_name:
        if scale is not None:
            raise SweepError(f"scale={scale} cannot be chosen: sweep={name} has no scales")
        return content
    chosen = next(iter(by_name)) if scale is None else scale
    if chosen not in by_name:
        raise SweepError(f"scale={chosen} is not a scale of sweep={name}{suggestion(chosen, by_name)}")
    values = by_name[chosen] or {}
    overrides = {**(content.get("overrides") or {}), **(values.get("overrides") or {})}
    return {**content, **values, "overrides": overrides, "scale": chosen}


def checked_file(folder: Folders, name: str) -> dict[str, Any]:
    """All keys of a named sweep, valid; the file's own mapping of scales."""
    known = files(folder)
    if name not in known:
        elsewhere = [other for other in known if other.endswith(f"/{name}")]
        raise SweepError(
            f"sweep={name} is not a sweep in {in_words(folder)}{suggestion((elsewhere or [name])[0], known)}"
        )
    path = known[name]
    content = load(path)
    check(content, (*KEYS, "scales"), str(path))
    for scale, values in (content.get("scales") or {}).items():
        check(values or {}, KEYS, f"scale {scale} of {path}")
    return content


def scales(folder: Folders, name: str) -> list[str]:
    """The scales of a named sweep, the default first."""
    return list(checked_file(folder, name).get("scales") or {})


def load(path: Path) -> dict[str, Any]:
    """The mapping in a sweep file."""
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OmegaConfBaseException, OSError, ValueError, YAMLError) as error:
        raise SweepError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SweepError(f"{path} must hold a mapping with title and grids")
    return {str(key): value for key, value in content.items()}


def check(mapping: dict[str, Any], allowed: tuple[str, ...], where: str) -> None:
    """`SweepError` for a key that is not allowed, or a value that is not valid."""
    for key, value in mapping.items():
        if key not in allowed:
            raise SweepError(f"{key} is not a key of {where}{suggestion(str(key), allowed)}")
        if key in VALID and value is not None and not VALID[key][1](value):
            given = str(value)
            given = given if len(given) <= 80 else f"{given[:70]}…"
            raise SweepError(f"{key}: {given} in {where} must be {VALID[key][0]}")
    for line in mapping.get("expects") or []:
        if True in line:  # YAML reads the key `on` as true
            line["on"] = line.pop(True)
