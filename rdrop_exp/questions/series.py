"""Which groups an expectation compares: those of its two sides, or those at each level of an option.

Groups are a mapping from identity to options (`selector.Flat`). Groups of different settings (model, data) are compared
only where the expectation itself tells them apart.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rdrop_exp.config.schema import OptionError
from rdrop_exp.questions.expectation import TRAINING, Expectation, Shape
from rdrop_exp.questions.flat import is_setting, plain
from rdrop_exp.questions.selector import Flat, Selector, value_of, why_none

Groups = Mapping[str, Flat]
Levels = list[tuple[Any, list[str]]]
"""Levels of an option in ascending order, each with its groups."""


def sides(e: Expectation, groups: Groups) -> dict[str, list[list[str]]]:
    """Groups of A, then of each B, by setting; `OptionError` where a selector matches nothing, or the same as another.

    One entry where the two sides have no setting in common, as in a comparison of two data sets.
    """
    assert e.first is not None
    named = [(str(e.kind), e.first), *(("to" if e.kind == "equal" else "than", other) for other in e.others)]
    matched = [select([selector], groups, f"{e.where}: {key}") for key, selector in named]
    first = matched[0]
    for (key, selector), ids in zip(named[1:], matched[1:], strict=True):
        if set(ids) == set(first):
            raise OptionError(f"{e.where}: {e.kind}={e.first.text} and {key}={selector.text} match the same groups")
        first = [i for i in first if i not in ids] or first
    matched = [first, *([i for i in ids if i not in first] for ids in matched[1:])]
    by_setting = [split(ids, groups) for ids in matched]
    shared = [setting for setting in by_setting[0] if all(setting in other for other in by_setting[1:])]
    return {setting: [side[setting] for side in by_setting] for setting in shared} or {"": matched}


def levels(e: Expectation, groups: Groups) -> dict[str, Levels]:
    """Levels of `over` by setting, where there are enough of them; `OptionError` where there are nowhere."""
    least = 3 if e.shape is Shape.HUMP else 2
    found = {s: by_value(e.over, ids, groups) for s, ids in split(of_shape(e, groups), groups, e.over).items()}
    for setting, each in found.items():
        ordered = each if e.shape is Shape.FLAT else numbers(each)
        found[setting] = [
            (v, ids) for v, ids in ordered if not e.best or len(numbers(by_value(e.best, ids, groups))) > 1
        ]
    enough = {setting: each for setting, each in found.items() if len(each) >= least}
    if not enough:
        most = max(found.values(), key=len, default=[])
        given = f" ({', '.join(plain(value) for value, _ in most)})" if most else ""
        kind = ("" if e.shape is Shape.FLAT else "numeric ") + "levels"
        several = f" with several of best={e.best}" if e.best else ""
        raise OptionError(f"{e.where}: over={e.over} has {len(most)} {kind}{several}{given}; {e.shape} needs {least}")
    return enough


def of_shape(e: Expectation, groups: Groups) -> list[str]:
    """The groups of `of`, or those of the one regularizer in which the option varies."""
    if e.of:
        return select(e.of, groups, f"{e.where}: of")
    option, values = e.best or e.over, defaultdict[str, set[str]](set)
    for flat in groups.values():
        values[str(flat.get("regularizer.name"))].add(plain(value_of(flat, option)))
    swept = [name for name, each in values.items() if len(each) > 1]
    if len(swept) > 1:
        raise OptionError(f"{e.where}: {option} varies in {', '.join(swept)}; choose one with of=")
    return [i for i, flat in groups.items() if not swept or flat.get("regularizer.name") in swept]


def course(e: Expectation, groups: Groups) -> dict[str, list[str]]:
    """The groups of `of` whose training is described, by setting."""
    assert e.over == TRAINING
    return split(select(e.of, groups, f"{e.where}: of"), groups)


def select(selectors: Sequence[Selector], groups: Groups, where: str) -> list[str]:
    """Groups that any of the selectors matches; `OptionError` for a selector that matches none."""
    chosen: dict[str, None] = {}
    for selector in selectors:
        ids = [identity for identity, flat in groups.items() if selector.matches(flat)]
        if not ids:
            raise OptionError(f"{where}={selector.text}: {why_none(selector, list(groups.values()))}")
        chosen |= dict.fromkeys(ids)
    return list(chosen)


def split(ids: Iterable[str], groups: Groups, without: str = "") -> dict[str, list[str]]:
    """Groups by setting, as text, whatever the option `without` is."""
    together: dict[str, list[str]] = defaultdict(list)
    for identity in ids:
        together[setting_of(groups[identity], without)].append(identity)
    return together


def setting_of(flat: Flat, without: str = "") -> str:
    """The options of model and data as text, except `without`."""
    start, _, key = without.rpartition(".")
    kept = {n: v for n, v in flat.items() if is_setting(n) and n != without and not n.startswith(f"{without}.")}
    if isinstance(kept.get(start), dict):
        kept[start] = {k: v for k, v in kept[start].items() if k != key}
    return json.dumps(kept, sort_keys=True, default=str)


def by_value(option: str, ids: Iterable[str], groups: Groups) -> Levels:
    """Groups by the value of an option: numbers in ascending order, then others in the order of the groups."""
    found: dict[str, tuple[Any, list[str]]] = {}
    for identity in ids:
        value = value_of(groups[identity], option)
        found.setdefault(plain(value), (value, []))[1].append(identity)
    return sorted(found.values(), key=lambda level: level[0] if is_number(level[0]) else float("inf"))


def numbers(levels: Levels) -> Levels:
    """The levels that are numbers, which have an order."""
    return [level for level in levels if is_number(level[0])]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
