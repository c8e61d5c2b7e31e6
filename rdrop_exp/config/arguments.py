"""The command line, rewritten as Hydra wants it: flags first, text quoted, a timm name chooses the model."""

import dataclasses
import re
from typing import Any

from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError, hints, nearest, option_names, shown, unwrap

VALUED = {
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
    "--experimental-rerun", "--info", "-i",
}  # fmt: skip
"""Hydra's flags that take a value."""
FLAGS = VALUED | {
    "--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m", "--shell-completion",
    "-sc",
}  # fmt: skip
OPEN = ("model.args", "peer.args", "optimizer.args", "model.sites", "peer.sites")
"""Dictionaries that take any key."""
PLAIN = re.compile(r"[\w/\-\\+.$%*@?|: ]*", re.ASCII)
"""Values that Hydra's grammar takes without quotes."""
NO_CHOICE = re.compile(r"null|true|false|[+-]?(inf|nan|[\d_]+(\.\d*)?(e[+-]?\d+)?)|.*\$.*", re.IGNORECASE | re.DOTALL)
"""Values that are no text, and so no choice of a group, or that only other options could resolve."""
LONGEST_KEY = 200
"""Characters: a longer one is no file's name, where Hydra looks for groups."""
OUTSIDE = ("experiment", "debug", "sweep", "scale", "together", "hydra")
"""Groups and keys that are no options of a trial."""


def arrange(arguments: list[str]) -> list[str]:
    """Flags first, wherever they stood, then overrides. `OptionError` for a flag that Hydra does not have.

    A model by its timm name comes without a preset's arguments; `sweep=` is a multirun; text may hold any character.
    """
    flags, overrides = _flags_apart(arguments)
    keys = {override.partition("=")[0] for override in overrides}
    if "scale" in keys and "sweep" not in keys:
        raise OptionError("scale= chooses a scale of a named sweep: add sweep=NAME")
    if "sweep" in keys and not {"-m", "--multirun"} & set(flags):
        flags.append("-m")
    multirun = bool({"-m", "--multirun"} & set(flags))
    if "together" in keys and not multirun:
        raise OptionError("together= pairs the values of a sweep: add -m")
    chosen = ["model=timm"] if "model.name" in keys and "model" not in keys else []
    for override in overrides:
        _check(override)
    overrides = [_quoted(override, multirun) for override in overrides]
    return [*flags, *chosen, *("++" + o if o.startswith(OPEN) else o for o in overrides)]


def _flags_apart(arguments: list[str]) -> tuple[list[str], list[str]]:
    flags: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        option = name.lstrip("-")
        if not argument.startswith("-"):
            overrides.append(argument)
        elif name in FLAGS:
            flags.append(argument)
            if argument in VALUED and (value := next(rest, "")):
                flags.append(value)
        elif equals and (guess := nearest(option, option_names(Options))).startswith("; did you mean"):
            known = guess.removeprefix("; did you mean ").rstrip("?")
            raise OptionError(f"{shown(argument)} is not a flag: write {known}={shown(value)}")
        else:
            raise OptionError(f"{shown(argument)} is not a flag{nearest(argument, FLAGS)}")
    return flags, overrides


def _check(override: str) -> None:
    """Refuse in our own words what Hydra would refuse in its parser's, or would fail at."""
    key, equals, value = override.partition("=")
    name, whole = key.lstrip("+~"), shown(override)
    if not name.strip("@. ") or not (equals or key.startswith("~")):
        raise OptionError(f"{whole or 'an empty argument'} must be written as option=value{_guess(name)}")
    if len(name) > LONGEST_KEY or not name.isprintable():
        raise OptionError(f"{shown(name)} is not an option")
    known = type_of(name) is not None
    if known and key.startswith("+") and not key.startswith("++"):
        raise OptionError(f"{whole} is an option already: write it without the +")
    if known and key.startswith("~") and equals:
        raise OptionError(f"{whole} removes an option only where it has that value: write {shown(f'{name}={value}')}")
    if re.search(r"\d{400}", value):
        raise OptionError(f"{whole} has more digits than a number can have")
    if not value.startswith(("'", '"')) and (value.endswith(",") or value.startswith(",") or ",," in value):
        raise OptionError(f"{whole} has an empty value beside its comma: remove the comma, or add a value")
    group = name in ("experiment", "debug") or (
        known and dataclasses.is_dataclass(type_of(name)) and name != "analysis"
    )
    if equals and group and NO_CHOICE.fullmatch(value):
        raise OptionError(f"{whole} is not a choice: name one of those that rdrop-exp --help lists, or leave it out")


def _guess(name: str) -> str:
    """The option that an argument without a value begins with, or is nearest to."""
    guess = nearest(re.split(r"[^\w.]", name)[0], option_names(Options))
    return guess.replace("?", "=…?") if guess.startswith("; did you mean") else ""


def _quoted(override: str, multirun: bool) -> str:
    """An override whose value is text, in quotes where Hydra's grammar would stumble over it."""
    key, equals, value = override.partition("=")
    if not equals or value[:1] in ("'", '"', "[", "$") or re.match(r"\w+\(", value) or type_of(key) is not str:
        return override
    values = value.split(",") if multirun else [value]
    if all(PLAIN.fullmatch(part) for part in values):
        return override
    return f"{key}=" + ",".join("'" + part.replace("\\", "\\\\").replace("'", "\\'") + "'" for part in values)


def type_of(key: str) -> Any:
    """The type of the option of that dotted name; None where there is none."""
    known: Any = Options
    for word in key.lstrip("+").split("."):
        if not hasattr(known, "__dataclass_fields__") or word not in (names := hints(known)):
            return None
        known = unwrap(names[word])[0]
    return known


def why_unknown(key: str) -> str:
    """Why `key` is not an option, with the nearest one; empty where it is one, or none of ours."""
    if key.startswith(OUTSIDE) or key.startswith(OPEN) or "@" in key or type_of(key) is not None:
        return ""
    path = key.split(".")[:-1]
    group = type_of(".".join(path)) if path else Options
    near = [".".join([*path, name]) for name in hints(group)] if hasattr(group, "__dataclass_fields__") else []
    everything = [*option_names(Options), "experiment", "debug"]
    guess = nearest(key, near) if path and near else nearest(key, everything)
    return f"{shown(key)} is not an option{guess or nearest(key, [*hints(Options), 'experiment', 'debug'])}"
