"""The command line, rewritten as Hydra wants it: flags first, text quoted, a timm name chooses the model."""

import dataclasses
import re
from typing import Any

from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError, hints, nearest, option_names, unwrap

VALUED = {
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
    "--experimental-rerun", "--info", "-i",
}  # fmt: skip
"""Hydra's flags that take a value."""
FLAGS = VALUED | {
    "--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m", "--shell-completion",
    "-sc",
}  # fmt: skip
OPEN = ("model.args", "peer.args", "optimizer.args")
"""Dictionaries that take any key."""
PLAIN = re.compile(r"[\w/\-\\+.$%*@?|: ]*", re.ASCII)
"""Values that Hydra's grammar takes without quotes."""
OUTSIDE = ("experiment", "debug", "sweep", "hydra")
"""Groups and keys that are no options of a trial."""


def arrange(arguments: list[str]) -> list[str]:
    """Flags first, wherever they stood, then overrides. `OptionError` for a flag that Hydra does not have.

    A model by its timm name comes without a preset's arguments; `sweep=` is a multirun; text may hold any character.
    """
    flags, overrides = _flags_apart(arguments)
    keys = {override.partition("=")[0] for override in overrides}
    if "sweep" in keys and not {"-m", "--multirun"} & set(flags):
        flags.append("-m")
    multirun = bool({"-m", "--multirun"} & set(flags))
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
            raise OptionError(f"{argument} is not a flag: write {known}={value}")
        else:
            raise OptionError(f"{argument} is not a flag{nearest(argument, FLAGS)}")
    return flags, overrides


def _check(override: str) -> None:
    """Refuse in our own words what Hydra would refuse in its parser's."""
    key, equals, value = override.partition("=")
    if equals and (value.endswith(",") or value.startswith(",") or ",," in value) and not value.startswith(("'", '"')):
        raise OptionError(f"{override} has an empty value beside its comma: remove the comma, or add a value")
    group = dataclasses.is_dataclass(type_of(key)) and key != "analysis"
    if equals and group and re.fullmatch(r"null|-?\d+(\.\d*)?", value):
        raise OptionError(f"{override} is not a choice: name one of those that rdrop-exp --help lists, or leave it out")


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
    return f"{key} is not an option{guess or nearest(key, [*hints(Options), 'experiment', 'debug'])}"
