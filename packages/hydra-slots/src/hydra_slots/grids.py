"""From named sweeps and the command line to combinations of overrides. Hydra's grammar, no composition yet."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hydra_slots.errors import SweepError, suggestion
from hydra_slots.overrides import Combination, Factor, Reader, value_of
from hydra_slots.sweep_file import PARTS, QUESTION, TEXTS, Folders, check, files, read_file

Grid = list[Factor]
Row = tuple[str, ...]


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
    """Several keys of a sweep file whose values move together."""
    return zipped([reader.values(key, value) for key, value in mapping.items()], "together")


def zipped(columns: Sequence[Factor], where: str) -> Factor:
    """One factor from several of one key each, row by row; `SweepError` for unequal lengths."""
    if len({len(column.rows) for column in columns}) != 1:
        counts = ", ".join(f"{column.keys[0]} has {len(column.rows)}" for column in columns)
        raise SweepError(f"{where} needs lists of equal length, but {counts}")
    rows = [tuple(text for row in rows for text in row) for rows in zip(*(c.rows for c in columns), strict=True)]
    return Factor(tuple(key for column in columns for key in column.keys), tuple(rows))


def zip_factors(factors: list[Factor], sets: str | Sequence[str] | None) -> list[Factor]:
    """The command line's factors, of one key each, with those zipped that `hydra.sweeper.together` names."""
    columns = {key: factor for factor in factors for key in factor.keys}
    remaining = dict(columns)
    result: dict[str, Factor] = {}
    for text in [sets] if isinstance(sets, str) else sets or []:
        option = f"hydra.sweeper.together={text}"
        keys = text.split("+")
        for key in keys:
            if key not in columns:
                raise SweepError(f"{option}: {key} has no values on the command line{suggestion(key, columns)}")
            if remaining.pop(key, None) is None:
                raise SweepError(f"{option}: {key} is named twice")
        result[keys[0]] = zipped([columns[key] for key in keys], option)
    return [result.get(key, columns[key]) for key in columns if key in remaining or key in result]


def combine(sweep: Sweep, factors: list[Factor]) -> list[Grid]:
    """The sweep's grids with the command line's own factors.

    Keys that no grid has multiply them all. Keys that grids have are narrowed: if every given row is in one of the
    grids, a grid keeps only those rows, and is removed if none is left; any other row replaces those of every grid.
    """
    grids = list(sweep.grids)
    for given in (replace(factor, shared=True) for factor in factors):
        known = {values for grid in sweep.grids for values in values_in(grid, given)}
        unknown = [row for row in given.rows if tuple(map(value_of, row)) not in known]
        narrowed = [apply(grid, given, unknown) for grid in grids]
        grids = [grid for grid in narrowed if grid is not None]
    if not grids:
        together = ", ".join(",".join(" ".join(row) for row in given.rows) for given in factors)
        raise SweepError(f"no grid of sweep={sweep.name} combines {together}")
    return grids


def apply(grid: Grid, given: Factor, unknown: Sequence[Row]) -> Grid | None:
    """`grid` with only its rows that are given (None if none is left), or replaced where some given are `unknown`."""
    sharing = having(grid, given.keys)
    if not sharing:
        return [*grid, given]
    others = [key for factor in sharing for key in factor.keys if key not in given.keys]
    if unknown and others:
        pair = " and ".join(others)
        raise SweepError(f"{' '.join(unknown[0])} is not one of the values that the sweep pairs with {pair}")
    shared = all(factor.shared for factor in sharing)
    new = replace(given if unknown else join(sharing, given), shared=shared)
    at = grid.index(sharing[0])
    return [*grid[:at], new, *(factor for factor in grid[at:] if factor not in sharing)] if new.rows else None


def having(grid: Grid, keys: tuple[str, ...]) -> Grid:
    """The factors of a grid that have one of these keys."""
    return [factor for factor in grid if set(factor.keys) & set(keys)]


def join(factors: Grid, given: Factor) -> Factor:
    """Products of the factors' rows that agree with a given row, which adds the keys that the factors do not have."""
    keys = tuple(key for factor in factors for key in factor.keys)
    common = [(i, keys.index(key)) for i, key in enumerate(given.keys) if key in keys]
    added = [i for i, key in enumerate(given.keys) if key not in keys]
    rows = (tuple(text for row in rows for text in row) for rows in itertools.product(*(f.rows for f in factors)))
    joined = tuple(
        (*row, *(wanted[i] for i in added))
        for row in rows
        for wanted in given.rows
        if all(value_of(wanted[i]) == value_of(row[at]) for i, at in common)
    )
    return Factor((*keys, *(given.keys[i] for i in added)), joined)


def values_in(grid: Grid, given: Factor) -> set[tuple[str, ...]]:
    """The values of given rows, as far as the grid has rows for them."""
    sharing = having(grid, given.keys)
    if not sharing:
        return set()
    joined = join(sharing, given)
    return {tuple(value_of(row[joined.keys.index(key)]) for key in given.keys) for row in joined.rows}


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
