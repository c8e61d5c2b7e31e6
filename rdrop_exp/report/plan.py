"""How many seeds were planned, and which comparisons one sweep makes together, by the sweeps' sweep.yaml."""

from collections.abc import Iterable
from pathlib import Path

from rdrop_exp.report.comparison import Comparison
from rdrop_exp.report.groups import Group
from rdrop_exp.report.sweep import Sweep


def planned_seeds(group: Group, sweeps: Iterable[Sweep]) -> int | None:
    """The planned number of seeds of a group, of all its splits; None if no sweep of its trials has a plan for it.

    Sweeps in several folders are parts that add up, unless their file plans one number for all groups.
    """
    folders = _folders(group)
    its = [sweep for sweep in sweeps if sweep.folder in folders]
    combine = max if any(sweep.seeds for sweep in its) else sum
    identities = {trial.group for trial in group.trials} if its else set()
    return sum(combine(sweep.planned.get(i) or sweep.seeds or 0 for sweep in its) for i in identities) or None


def shared_plan(group: int | None, baseline: int | None) -> int | None:
    """The planned number of pairs, by the plans of both groups."""
    return min((number for number in (group, baseline) if number), default=None)


def families(comparisons: list[Comparison], sweeps: Iterable[Sweep]) -> list[list[Comparison]]:
    """Comparisons with trials of one sweep, which are corrected together; every other one is a family of its own."""
    known = {sweep.folder for sweep in sweeps}
    found: list[tuple[set[Path], list[Comparison]]] = []
    for comparison in comparisons:
        folders = {folder for row in comparison.rows for folder in _folders(row.group)} & known
        joined, others = [comparison], []
        for places, members in found:
            if places & folders:
                folders, joined = folders | places, members + joined
            else:
                others.append((places, members))
        found = [*others, (folders, joined)]
    return [members for _, members in found]


def _folders(group: Group) -> set[Path]:
    return {trial.folder.parent for trial in group.trials}
