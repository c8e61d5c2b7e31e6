"""Selectors: which groups a text such as `rdrop passes=3` means.

A regularizer's name, conditions `option=value` on options by their short or dotted name, or both. `model=` and
`dataset=` go by label or name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError, nearest, option_names, runtime_fields, shown
from rdrop_exp.questions.flat import option, plain

OPEN = ("model.args.", "peer.args.", "optimizer.args.")
"""Dictionaries that take any key."""
LABELLED = ("model", "dataset")
Flat = Mapping[str, Any]
"""Options of a group by dotted name (`flat.flatten`), with `model` and `dataset`: their labels (`with_labels`)."""


@dataclass(frozen=True, slots=True)
class Selector:
    text: str
    regularizer: str
    """Empty: any."""
    conditions: tuple[tuple[str, str], ...]
    """Dotted name of an option, and its value as text."""

    def matches(self, flat: Flat) -> bool:
        right = not self.regularizer or flat.get("regularizer.name") == self.regularizer
        return right and all(equals(value_of(flat, name), value) for name, value in self.conditions)


def parse_selector(text: str, where: str) -> Selector:
    """`OptionError`, beginning with `where`, for a text that is no selector or names no option."""
    words = text.split()
    names = [word for word in words if "=" not in word]
    if not words or len(names) > 1:
        raise OptionError(
            f"{where}={shown(text)} must be a regularizer, conditions such as alpha=0.5, or both: rdrop alpha=0.5"
        )
    pairs = [word.partition("=")[::2] for word in words if "=" in word]
    conditions = tuple((option_name(key, f"{where}={shown(text)}"), value) for key, value in pairs)
    return Selector(" ".join(words), names[0] if names else "", conditions)


def option_name(key: str, where: str) -> str:
    """The dotted name of an option given by its last part or in full; `OptionError` if there is none, or several."""
    known = _known()
    if key in known or key in LABELLED or key.startswith(OPEN):
        return key
    same = [name for name in known if name.rpartition(".")[2] == key]
    same = [name for name in same if name.startswith("regularizer.")] or same
    if len(same) == 1:
        return same[0]
    if same:
        raise OptionError(f"{where}: {shown(key)} is ambiguous; the choices are {', '.join(same)}")
    near = known if "." in key else {name.rpartition(".")[2] for name in known}
    raise OptionError(f"{where}: {shown(key)} is not an option{nearest(key, near)}")


@lru_cache(maxsize=1)
def _known() -> list[str]:
    """Names of the options that can change a result, groups of options aside."""
    runtime = {".".join(path) for path in runtime_fields(Options)} - {"regularizer.name"}
    names = [name for name in option_names(Options) if name not in runtime and name.split(".")[0] not in runtime]
    groups = {name.rpartition(".")[0] for name in names}
    return [name for name in names if name not in groups and name != "seed"]


def with_labels(flat: Flat, options: Mapping[str, Any]) -> dict[str, Any]:
    """`flat` with the labels of model and data set, which are no part of it."""
    parts = {name: options.get(name) or {} for name in LABELLED}
    return {**flat, **{name: part.get("label") or part.get("name") for name, part in parts.items()}}


def value_of(flat: Flat, name: str) -> Any:
    return flat.get(name) if name in LABELLED else option(flat, name)


def equals(value: Any, text: str) -> bool:
    """Whether an option's value is what a text says: 0.10 is 0.1."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(text) == value
        except ValueError:
            return False
    return plain(value).replace(" ", "") == text


def why_none(selector: Selector, groups: Sequence[Flat]) -> str:
    """Why no group matches, for the end of a sentence: the nearest name, or the values that an option has."""
    names = {str(flat.get("regularizer.name")) for flat in groups}
    if selector.regularizer and selector.regularizer not in names:
        return f"no group has that regularizer{nearest(selector.regularizer, names)}"
    same = [flat for flat in groups if not selector.regularizer or flat.get("regularizer.name") == selector.regularizer]
    for name, value in selector.conditions:
        values = dict.fromkeys(plain(value_of(flat, name)) for flat in same)
        if not any(equals(value_of(flat, name), value) for flat in same):
            return f"no such group has {name}={shown(value)}{nearest(value, values)}"
    return "no group meets all of these conditions"
