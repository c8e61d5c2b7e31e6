"""From named sweeps and the command line to combinations of overrides. Hydra's grammar, no composition yet."""

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

from hydra_slots.errors import SweepError
from hydra_slots.overrides import Combination, Factor, Reader, plain_key, value_of
from hydra_slots.sweep_file import PARTS, QUESTION, TEXTS, Folders, check, files, read_file

Grid = list[Factor]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A named sweep as its file says it."""

    name: str = ""
    """Of the file."""
    texts: dict[str, Any] = field(default_factory=dict)
    """What it says about itself, as far as it does: title, baseline, seeds, expects, scale, ..."""
    grids: list[Grid] = field(default_factory=lambda: [[]])


def read_sweep(reader: Reader, folder: Folders, name: str, scale: str | None = None) -> Sweep:
    """The sweep of that name at a scale; `SweepError` where there is none, or one that cannot be read."""
    content = read_file(folder, name, scale)
    where = str(files(folder)[name])
    entries = content.get("grids") or [{}]
    for entry in entries:
        check(entry, PARTS, f"a grid of {where}")
    texts = {key: content[key] for key in (*TEXTS, *QUESTION, "scale") if content.get(key) is not None}
    return Sweep(name, texts, [read_grid(reader, content, entry, where) for entry in entries])


def read_grid(reader: Reader, common: dict[str, Any], entry: dict[str, Any], where: str) -> Grid:
    """One grid: the factors of its entry, then those of the file's top level for other keys."""
    grid: Grid = []
    if not entry.get("repeat") and not common.get("repeat"):
        common = {**common, "repeat": common.get("seeds")}
    for part in (entry, common):
        try:
            factors = read_factors(reader, part)
        except (AttributeError, TypeError):
            raise SweepError(f"{where}: overrides must be a mapping, together a list of mappings") from None
        for factor in factors:
            repeated = {key for earlier in grid for key in earlier.keys} & set(factor.keys)
            if repeated and part is entry:
                raise SweepError(f"{where}: one grid sets {sorted(repeated)[0]} twice")
            if not repeated:
                grid.append(replace(factor, shared=part is common))
    return grid


def read_factors(reader: Reader, part: dict[str, Any]) -> list[Factor]:
    factors = [reader.values(key, value) for key, value in (part.get("overrides") or {}).items()]
    factors += [paired(reader, mapping) for mapping in part.get("together") or []]
    repeat = part.get("repeat") or {}
    for key, seeds in (repeat if isinstance(repeat, dict) else {reader.seed_key: repeat}).items():
        factors.append(reader.values(key, list(range(seeds)) if isinstance(seeds, int) else seeds))
    return factors


def paired(reader: Reader, mapping: dict[str, Any]) -> Factor:
    """Several keys whose values move together."""
    columns = [reader.values(key, value) for key, value in mapping.items()]
    if len({len(column.rows) for column in columns}) != 1:
        counts = ", ".join(f"{column.keys[0]} has {len(column.rows)}" for column in columns)
        raise SweepError(f"lists under together must have equal lengths, but {counts}")
    rows = [tuple(text for row in rows for text in row) for rows in zip(*(c.rows for c in columns), strict=True)]
    return Factor(tuple(key for column in columns for key in column.keys), tuple(rows))


def combine(sweep: Sweep, factors: list[Factor]) -> list[Grid]:
    """The sweep's grids with the command line's own factors, of one key each.

    A key that no grid has multiplies them all. A key that grids have is narrowed: if every given value is one of
    theirs, a grid keeps only those rows, and is removed if none is left; any other value replaces those of every grid.
    """
    grids = list(sweep.grids)
    texts = [text for grid in grids for factor in grid for row in factor.rows for text in row]
    for given in (replace(factor, shared=True) for factor in factors):
        (key,) = given.keys
        wanted = {value_of(row[0]) for row in given.rows}
        known = {value_of(text) for text in texts if plain_key(text) == key}
        narrowed = [apply(grid, key, given, wanted if wanted <= known else None) for grid in grids]
        grids = [grid for grid in narrowed if grid is not None]
    if not grids:
        together = ", ".join(",".join(row[0] for row in given.rows) for given in factors)
        raise SweepError(f"no grid of sweep={sweep.name} combines {together}")
    return grids


def apply(grid: Grid, key: str, given: Factor, wanted: set[str] | None) -> Grid | None:
    """`grid` with only its rows of a wanted value (None where no row is left), or else with all values replaced."""
    new: Grid = []
    for factor in grid:
        if key not in factor.keys:
            new.append(factor)
        elif wanted is not None:
            at = factor.keys.index(key)
            rows = tuple(row for row in factor.rows if value_of(row[at]) in wanted)
            if not rows:
                return None
            new.append(replace(factor, rows=rows))
        elif len(factor.keys) == 1:
            new.append(replace(given, shared=factor.shared))
        else:
            others = " and ".join(k for k in factor.keys if k != key)
            raise SweepError(f"{given.rows[0][0]} is not one of the values that the sweep pairs with {others}")
    return new if any(key in factor.keys for factor in grid) else [*new, given]


def combinations(grids: list[Grid]) -> list[Combination]:
    """Every trial of a union of grids, without repetitions."""
    trials = (
        Combination(tuple(text for row in rows for text in row), shared)
        for grid in grids
        for shared in [shared_keys(grid)]
        for rows in itertools.product(*(factor.rows for factor in grid))
    )
    return list(dict.fromkeys(trials))


def shared_keys(grid: Grid) -> frozenset[str]:
    """Keys such as `group.option` that are not set for one choice of the group, but for all grids or all choices."""
    several = {key for factor in grid if len(factor.rows) > 1 for key in factor.keys}
    return frozenset(
        key
        for factor in grid
        for key in factor.keys
        if "." in key and (group := key.partition(".")[0]) not in factor.keys and (factor.shared or group in several)
    )
