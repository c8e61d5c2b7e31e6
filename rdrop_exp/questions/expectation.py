"""What a sweep expects before it runs: a line of `expects` in a sweep file.

    {claim: TEXT, source: TEXT, on: MEASURE, at: [FROM, TO], smallest: NUMBER} and one of
    {better: A, than: B}  {worse: A, than: B}     in the good direction of the measure; `than` may be a list: all hold
    {higher: A, than: B}  {lower: A, than: B}     by the number
    {equal: A, to: B}                             the difference is below `smallest`
    {shape: hump|rises|falls|flat, over: OPTION, of: A}    over the levels of an option; or over: training, of one group
    {shape: rises|falls, best: OPTION, over: OPTION}       the best level of one option over the levels of another

A and B are selectors (`selector`), MEASURE is one of `measure.MEASURES`, and test accuracy if it is left out.
`smallest` is in the unit of the measure; the sweep's own serves all lines on accuracy. `of`, a selector or a list of
them, limits the groups; without it they are those of the regularizer that the option varies in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rdrop_exp.config.schema import OptionError, nearest, shown
from rdrop_exp.questions.measure import EPOCHS, Measure, Window, parse_measure
from rdrop_exp.questions.selector import Selector, option_name, parse_selector

TRAINING = "training"
"""What `over` may name beside options."""
MOST_LINES = 1000


class Kind(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    HIGHER = "higher"
    LOWER = "lower"
    EQUAL = "equal"
    SHAPE = "shape"


class Shape(StrEnum):
    HUMP = "hump"
    RISES = "rises"
    FALLS = "falls"
    FLAT = "flat"


GENERAL = ("claim", "source", "on", "at", "smallest")
PARTS = {kind: (kind, "than") for kind in Kind} | {Kind.EQUAL: ("equal", "to"), Kind.SHAPE: ("shape", "over")}
"""Keys that a kind needs."""
OPTIONAL = {Kind.SHAPE: ("of", "best")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """One line; `where` names it in messages."""

    where: str
    kind: Kind
    claim: str
    """What is expected, in words; the line itself where it gives none."""
    source: str = ""
    on: Measure | None = None
    """None: the report's metric on test."""
    at: Window | None = None
    smallest: float | None = None
    """The smallest difference worth having, in the unit of the measure."""
    first: Selector | None = None
    """A; None for shapes."""
    others: tuple[Selector, ...] = ()
    """B, one or several."""
    shape: Shape | None = None
    over: str = ""
    """Dotted name of an option, or TRAINING."""
    best: str = ""
    of: tuple[Selector, ...] = ()


def parse(lines: Any, smallest: float | None) -> list[Expectation]:
    """The lines of `expects`; `OptionError` in one sentence for the first that is not valid."""
    if lines is None:
        return []
    if not isinstance(lines, list):
        raise OptionError(f"expects={shown(lines)} must be a list of mappings such as {{better: A, than: B}}")
    if len(lines) > MOST_LINES:
        raise OptionError(f"expects has {len(lines)} lines; at most {MOST_LINES} are possible")
    return [parse_line(line, f"expects, line {i}", smallest) for i, line in enumerate(lines, 1)]


def parse_line(line: Any, where: str, smallest: float | None = None) -> Expectation:
    """One line, with `where` at the beginning of what is said about it."""
    if not isinstance(line, Mapping):
        raise OptionError(f"{where}: {shown(line)} must be a mapping such as {{better: A, than: B}}")
    given = {"on" if key is True else str(key): value for key, value in line.items()}  # YAML reads `on` as true
    kind = _kind(given, where)
    allowed = (*GENERAL, *PARTS[kind], *OPTIONAL.get(kind, ()))
    for key in given:
        if key not in allowed:
            raise OptionError(f"{where}: {shown(key)} is not a key beside {kind}{nearest(key, allowed)}")
    for key in PARTS[kind]:
        if given.get(key) in (None, "", []):
            raise OptionError(f"{where}: {key} is missing")
    text = {key: _text(given, key, where) for key in ("claim", "source", "on", "shape", "over", "best")}
    short = ", ".join(f"{key}: {shown(given[key])}" for key in allowed if key in given and key not in GENERAL)
    measure = parse_measure(text["on"], f"{where}: on") if text["on"] else None
    common: dict[str, Any] = {"where": where, "kind": kind, "claim": text["claim"] or short, "source": text["source"]}
    smallest = _smallest(
        given.get("smallest"), smallest if measure is None or measure.unit == "points" else None, where
    )
    common |= {"on": measure, "at": _window(given.get("at"), measure, where), "smallest": smallest}
    if kind in (Kind.BETTER, Kind.WORSE) and measure and not measure.sign:
        raise OptionError(f"{where}: {kind} has no meaning for on={measure.name}; use higher or lower")
    if smallest is None and (kind is Kind.EQUAL or text["shape"] == Shape.FLAT):
        raise OptionError(f"{where}: {'equal' if kind is Kind.EQUAL else 'shape=flat'} needs smallest, the smallest"
                          " difference worth having" + (f" on {measure.name}" if measure else ""))  # fmt: skip
    if kind is Kind.SHAPE:
        return Expectation(**common, **_shape(given, text, measure, where))
    other = PARTS[kind][1]
    (first,) = _selectors(given, kind, where, one=True)
    return Expectation(**common, first=first, others=_selectors(given, other, where, one=kind is Kind.EQUAL))


def _kind(given: Mapping[str, Any], where: str) -> Kind:
    kinds = [kind for kind in Kind if kind in given]
    if len(kinds) > 1:
        raise OptionError(f"{where}: {kinds[0]} and {kinds[1]} exclude each other; write two lines")
    if not kinds:
        unknown = next((key for key in given if key not in GENERAL), "")
        raise OptionError(f"{where}: {shown(unknown) or 'the line'} expects nothing{nearest(unknown, Kind)}")
    return kinds[0]


def _shape(given: Mapping[str, Any], text: Mapping[str, str], measure: Measure | None, where: str) -> dict[str, Any]:
    if text["shape"] not in list(Shape):
        raise OptionError(f"{where}: shape={shown(text['shape'])} is not a shape{nearest(text['shape'], Shape)}")
    shape, of = Shape(text["shape"]), _selectors(given, "of", where)
    over = text["over"] if text["over"] == TRAINING else option_name(text["over"], f"{where}: over")
    best = option_name(text["best"], f"{where}: best") if text["best"] else ""
    if best and (shape not in (Shape.RISES, Shape.FALLS) or over in (TRAINING, best)):
        raise OptionError(f"{where}: best={best} needs shape=rises or shape=falls over another option")
    if shape is Shape.HUMP or best:
        _needs_direction(measure, where, "best" if best else "shape=hump")
    if over == TRAINING and (not of or measure is None or measure.name in EPOCHS or measure.name.startswith("test/")):
        what = "of=, a group," if not of else "on=, a column of metrics.jsonl such as val/loss,"
        raise OptionError(f"{where}: over=training needs {what} whose course it describes")
    return {"shape": shape, "over": over, "best": best, "of": of}


def _needs_direction(measure: Measure | None, where: str, what: str) -> None:
    if measure and not measure.sign:
        raise OptionError(f"{where}: {what} needs a measure of which more or less is better, unlike on={measure.name}")


def _selectors(given: Mapping[str, Any], key: str, where: str, one: bool = False) -> tuple[Selector, ...]:
    values = given.get(key)
    values = values if isinstance(values, list) and not one else [] if values is None else [values]
    for value in values:
        if not isinstance(value, str | int | float):
            raise OptionError(f"{where}: {key}={shown(value)} must be text such as rdrop passes=3")
    return tuple(parse_selector(str(value), f"{where}: {key}") for value in values)


def _text(given: Mapping[str, Any], key: str, where: str) -> str:
    value = given.get(key)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        raise OptionError(f"{where}: {key}={shown(value)} must be text")
    return "" if value is None else str(value)


def _smallest(value: Any, of_sweep: float | None, where: str) -> float | None:
    if value is not None and (type(value) not in (int, float) or not 0 < value < float("inf")):
        raise OptionError(f"{where}: smallest={shown(value)} must be a number above 0")
    return of_sweep if value is None else float(value)


def _window(value: Any, measure: Measure | None, where: str) -> Window | None:
    if value is None:
        return None
    numbers = isinstance(value, list) and len(value) == 2 and all(type(v) in (int, float) for v in value)
    if not numbers or not 0 <= value[0] < value[1] <= 1:
        raise OptionError(f"{where}: at={shown(value)} must be two shares of training, such as [0, 0.2]")
    if measure is None or measure.name in EPOCHS or measure.name.startswith("test/"):
        raise OptionError(f"{where}: at={shown(value)} needs on=, a column of metrics.jsonl such as val/loss")
    return float(value[0]), float(value[1])
