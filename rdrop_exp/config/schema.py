"""Strict conversion of nested plain values into dataclasses: types, ranges and names, refused in one sentence."""

import dataclasses
import difflib
import functools
import sys
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

RUNTIME = "runtime"
"""Marks an option that cannot change a trial's result, and so is no part of its identity."""
ADDED = "added"
"""Marks an option added later: at its default it is left out of the identity, so that older identities stay valid."""

LONGEST_LIST = 400
"""Characters of a list of choices that still fits a message."""


class OptionError(ValueError):
    """An option that cannot be used; the message is one sentence for the user."""

    option_error = True  # how launchers that know nothing of options see that a retry is pointless


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number; `open_left` and `open_right` exclude the bound itself."""

    low: float
    high: float | None = None
    open_left: bool = False
    open_right: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_left else value >= self.low
        below = self.high is None or (value < self.high if self.open_right else value <= self.high)
        return above and below  # False for nan

    def __str__(self) -> str:
        words = [f"{'above' if self.open_left else 'at least'} {self.low:g}"]
        if self.high is not None:
            words.append(f"{'below' if self.open_right else 'at most'} {self.high:g}")
        return " and ".join(words)


Rate = Annotated[float, Range(0, 1, open_right=True)]
Share = Annotated[float, Range(0, 1)]
Positive = Annotated[int, Range(1)]
NonNegative = Annotated[float, Range(0)]


def nearest(word: str, among: typing.Iterable[str]) -> str:
    """The most similar of `among`, as a question to append to a message; or the whole list where it is short.

    Of dotted names the last part counts for as much as the whole: `lr` is `optimizer.lr`.
    """
    among = list(among)
    last = word.rpartition(".")[2]
    same = [a for a in among if "." in a and a.rpartition(".")[2] == last]
    longer = [a for a in sorted(among) if word and a.startswith(word)]
    close = [min(longer, key=len)] if longer else difflib.get_close_matches(word, sorted(among), n=1, cutoff=0.5)
    if close := same[:1] or close:
        return f"; did you mean {close[0]}?"
    choices = ", ".join(sorted(among))
    return f"; the choices are {choices}" if 0 < len(choices) <= LONGEST_LIST else ""


def shown(value: Any) -> str:
    """A value as the user wrote it, cut where it is long, in characters that a terminal prints."""
    text = "null" if value is None else str(value)
    return printable(text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)")


def printable(text: str) -> str:
    """`text` on one line: what would move the cursor, change colours or reverse the line is written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_line(error: BaseException) -> str:
    """What an error says, without the lines that follow; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def unwrap(hint: Any) -> tuple[Any, Range | None, bool]:
    """The plain type of a field's hint, its range, and whether it is marked RUNTIME."""
    if typing.get_origin(hint) is not Annotated:
        return hint, None, False
    plain, *notes = typing.get_args(hint)
    bounds = next((note for note in notes if isinstance(note, Range)), None)
    return plain, bounds, RUNTIME in notes


@functools.cache
def hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def from_plain(cls: Any, values: Any, path: str = "", shared: bool = False) -> Any:
    """An instance of dataclass `cls` from a dictionary; unknown names, wrong types and ranges raise `OptionError`.

    With `shared`, groups inside it that are one dictionary, in several calls, are one instance; neither may be changed.
    """
    if not isinstance(values, dict):
        raise OptionError(f"{path}={shown(values)}: {path} is a group of options{nearest('', hints(cls))}")
    known = hints(cls)
    prefix = f"{path}." if path else ""
    for key in values:
        if key not in known:
            names = [prefix + name for name in known]
            guess = nearest(prefix + key, option_names(cls, prefix)) or nearest(prefix + key, names)
            raise OptionError(f"{shown(f'{prefix}{key}')} is not an option{guess}")
    make = _convert_once if shared else convert
    return cls(**{key: make(known[key], value, prefix + key) for key, value in values.items()})


_converted: dict[tuple[str, int], tuple[Any, Any]] = {}  # holds the dictionary, so that none other gets its id


def _convert_once(hint: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        return convert(hint, value, path)
    key = path, id(value)
    if key not in _converted:
        if len(_converted) >= 10_000:
            _converted.clear()
        _converted[key] = value, convert(hint, value, path)
    return _converted[key][1]


def convert(hint: Any, value: Any, path: str) -> Any:
    """`value` as the hint wants it (an int becomes a float), or `OptionError` naming `path`."""
    hint, bounds, _ = unwrap(hint)
    if dataclasses.is_dataclass(hint):
        return from_plain(hint, value, path)
    choices = (
        typing.get_args(hint) if isinstance(hint, types.UnionType) or typing.get_origin(hint) is Union else (hint,)
    )
    for choice in choices:
        fits, converted = _fit(choice, value)
        if fits:
            if bounds is not None and converted is not None and converted not in bounds:
                raise OptionError(f"{path}={shown(value)} is out of range: it must be {bounds}")
            return converted
    if typing.get_origin(hint) is Literal:
        raise OptionError(
            f"{path}={shown(value)} is not a choice{nearest(str(value), map(str, typing.get_args(hint)))}"
        )
    wanted = " or ".join(_describe(choice) for choice in choices)
    limits = f" {bounds}" if bounds is not None else ""
    raise OptionError(f"{path}={shown(value)} must be {wanted}{limits}")


def _fit(hint: Any, value: Any) -> tuple[bool, Any]:
    origin = typing.get_origin(hint)
    if hint is Any:
        return True, value
    if hint is type(None):
        return value is None, None
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < sys.float_info.max
        return number, float(value) + 0.0 if number else None  # -0.0 is 0.0
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63, value
    if hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return True, str(value)  # `name=1`: what Hydra read as a number was meant as a text
    if origin is Literal:
        return value in typing.get_args(hint), value
    if origin is list:
        (item,) = typing.get_args(hint)
        fitted = [_fit(item, v) for v in value] if isinstance(value, list | tuple) else [(False, None)]
        return all(ok for ok, _ in fitted), [v for _, v in fitted]
    if origin is dict:
        return isinstance(value, dict), value
    return isinstance(value, hint), value


def _describe(hint: Any) -> str:
    plain = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text", type(None): "null"}
    if typing.get_origin(hint) is list:
        return "a list"
    return plain.get(hint, "a group of options such as {key: value}")


def option_names(cls: type, prefix: str = "") -> list[str]:
    """The dotted names of all options, groups among them."""
    names = []
    for name, hint in hints(cls).items():
        plain = unwrap(hint)[0]
        names.append(prefix + name)
        if dataclasses.is_dataclass(plain):
            names += option_names(typing.cast(type, plain), f"{prefix}{name}.")
    return names


def runtime_fields(cls: type) -> list[tuple[str, ...]]:
    """Paths of the fields marked RUNTIME."""
    return marked_fields(cls, RUNTIME)


@functools.cache
def marked_fields(cls: type, mark: str, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of the fields with that mark, such as `("dataset", "workers")`; a marked group is one field."""
    fields = []
    for name, hint in hints(cls).items():
        plain = unwrap(hint)[0]
        if mark in getattr(hint, "__metadata__", ()):
            fields.append((*path, name))
        elif dataclasses.is_dataclass(plain):
            fields += marked_fields(typing.cast(type, plain), mark, (*path, name))
    return fields
