"""sweep.yaml beside the trials of a sweep: what it asks and compares, and how many seeds were planned, for reports."""

import fcntl
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from hydra_slots.output import say
from hydra_slots.protocol import atomic_file
from hydra_slots.sweep_plan import SweepPlan

FILE = "sweep.yaml"


def write_sweep(plan: SweepPlan, content: dict[str, Any]) -> None:
    """Write sweep.yaml: `content` of a named sweep (empty: what is there stays), and `planned`, seeds by group.

    A group keeps the number of its first launch into the folder that was more than one: `seeds` of the sweep file, or
    else its trials' number. One seed says nothing about the difference that more would be planned after.
    """
    counts: dict[Path, Counter[str]] = defaultdict(Counter)
    for job in plan.jobs:
        counts[Path(job.trial.folder).parent][job.trial.group] += 1
    for folder, seeds in counts.items():
        planned = {group: content.get("seeds") or count for group, count in seeds.items() if group}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with alone(folder):
                update(folder / FILE, content, planned)
        except OSError as error:  # the trials say whether they can run all the same
            say(f"Warning: {folder / FILE} could not be written: {error.strerror}")


def update(path: Path, content: dict[str, Any], planned: dict[str, int]) -> None:
    """Merge with what an earlier sweep left; a file of someone else stays as it is."""
    before = read(path)
    if before and not before.keys() & {"sweep", "planned"}:
        say(f"Warning: {path} is another program's file; the plan of this sweep was not written")
        return
    known = before.get("planned")
    known = known if isinstance(known, dict) else {}
    planned |= {str(group): n for group, n in known.items() if type(n) is int and n > 1}
    after = {**(content or before), **({"planned": planned} if planned else {})}
    if after and after != before:
        with atomic_file(path) as file:
            file.write(OmegaConf.to_yaml(OmegaConf.create(after)))


def read(path: Path) -> dict[str, Any]:
    """The mapping in the file; empty where there is none, or nothing that can be read."""
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False) if path.is_file() else {}
    except (OmegaConfBaseException, OSError, ValueError, YAMLError):
        return {}
    return {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let sweeps that start at the same time in the same folder take turns, where the file system locks folders."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
