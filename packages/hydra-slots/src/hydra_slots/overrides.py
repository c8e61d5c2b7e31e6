"""One override at a time: Hydra's grammar to lists of values, and values of YAML files to Hydra's grammar."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, RangeSweep, Transformer
from hydra.errors import HydraException

from hydra_slots.errors import SweepError


@dataclass(frozen=True, slots=True)
class Factor:
    """Rows of overrides, each `key=value` in Hydra's grammar; a trial takes one row."""

    keys: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shared: bool = False
    """Whether it was given for all grids of a sweep: on the command line, or at the top level of a sweep file."""


@dataclass(frozen=True, slots=True)
class Combination:
    """The overrides of one trial."""

    texts: tuple[str, ...]
    shared: frozenset[str] = field(default=frozenset(), compare=False)
    """Keys that were given for several choices of their group at once, and not for this one in particular."""


class Reader:
    """Reads overrides; Hydra's `loader` answers `glob()`, and `seed_key` is what `repeat: 3` repeats over."""

    def __init__(self, loader: Any, seed_key: str = "seed") -> None:
        self.parser = OverridesParser.create(config_loader=loader)
        self.seed_key = seed_key

    def parse(self, line: str) -> Override:
        return self.parser.parse_overrides([line])[0]

    def factor(self, line: str) -> Factor:
        """The values of one override; `SweepError` for an interval, which has no list of values."""
        try:
            override = self.parse(line)
            texts = self._texts(line, override)
        except SweepError:
            raise
        except HydraException:
            raise SweepError(f"{line} cannot be parsed: check its commas, brackets and quotes") from None
        if not texts:
            raise SweepError(f"{line} has no values")
        return Factor((plain_key(line),), tuple((text,) for text in texts))

    def _texts(self, line: str, override: Override) -> list[str]:
        key = override.get_key_element()
        if not override.is_sweep_override():
            return [f"{key}={override.get_value_element_as_str()}" if "=" in line else line]
        if not override.is_discrete_sweep():
            raise SweepError(f"{line} is an interval and cannot be enumerated: use choice() or range()")
        value = override.value()
        if isinstance(value, RangeSweep):  # 0.1 + 0.1 + 0.1 must be 0.3
            value.start, value.stop, value.step = map(exact, (value.start, value.stop, value.step))
        elements = override.sweep_iterator(transformer=Transformer.identity)
        return [f"{key}={in_hydra(element)}" for element in elements]

    def values(self, key: str, value: Any) -> Factor:
        """The values that a sweep file gives to one key: a text in Hydra's grammar, one value, or a list of them."""
        if not isinstance(value, list):
            return self.factor(*in_words({key: value}))
        rows = [row for each in value for row in self.factor(f"{key}={in_grammar(each)}").rows]
        if not rows:
            raise SweepError(f"{key}=[] has no values")
        return Factor((plain_key(key),), tuple(rows))


def plain_key(text: str) -> str:
    """The key of an override, without Hydra's + ++ ~."""
    return text.partition("=")[0].lstrip("+~")


def value_of(text: str) -> str:
    return text.partition("=")[2]


def in_hydra(element: Any) -> Any:
    """One value of a sweep as text. Hydra drops the quotes, which a text of other than plain characters needs."""
    if isinstance(element, str) and not re.fullmatch(r"[\w./ :-]*", element, re.ASCII):
        return quoted(element)
    return Transformer.encode(element)


def in_words(overrides: Mapping[str, Any]) -> list[str]:
    """`key=value` of each: a text as on a command line, other values as Hydra's grammar writes them."""
    return [f"{key}={value if isinstance(value, str) else in_grammar(value)}" for key, value in overrides.items()]


def in_grammar(value: Any) -> str:
    """A value of a YAML file as Hydra's grammar writes it, so that a text stays a text."""
    if isinstance(value, str):
        word = re.fullmatch(r"[A-Za-z_][\w./-]*", value)
        reserved = value.lower() in ("null", "true", "false", "nan", "inf")
        return value if word and not reserved else quoted(value)
    if isinstance(value, list):
        return "[" + ",".join(map(in_grammar, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{in_grammar(k)}:{in_grammar(v)}" for k, v in value.items()) + "}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def exact(number: Any) -> Any:
    return Decimal(str(number)) if isinstance(number, float) else number


def quoted(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()
