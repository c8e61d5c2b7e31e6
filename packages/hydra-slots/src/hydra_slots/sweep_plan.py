"""What a sweep will run: its trials as planned, as jobs for a Hydra launcher, and all of them together."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """What the sweeper and the runner need to know of one combination of overrides."""

    identity: str
    """Equal for two combinations whose results must be equal; only the first of them runs."""
    folder: str
    """Where the trial keeps its files."""
    name: str
    """What people call it."""
    group: str = ""
    """Shared by trials that differ only by their seed."""
    work: float = 1.0
    """Expected cost in any unit; the most expensive trials start first."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the plan, such as options that have no effect."""
    method: str = ""
    """What is compared; a named sweep's `baseline` begins with the method of one of its trials."""
    data: str = ""
    """What its data set holds; the plan says so once."""
    metric: str = ""
    """Ranks its group on the live display, unless `hydra.launcher.metric` is set."""
    pause: float | None = None
    """`epoch` of a row of metrics.jsonl after which the trial pauses, without a result.json; None: it does not."""
    segments: list[tuple[int, str]] = field(default_factory=list)
    """(the step before which a run of equal steps ends, a key of all that decides them), in order, for its `tree`."""
    options: dict[str, Any] = field(default_factory=dict)
    """Its options as nested plain values, for `hydra.sweeper.check`."""


@dataclass(slots=True)
class Job:
    """A planned trial as a job of a Hydra launcher."""

    index: int
    overrides: list[str]
    """Overrides of the job, including those that make the trial's folder Hydra's output directory."""
    label: str
    """The overrides that distinguish this trial from the others of the plan."""
    trial: PlannedTrial
    protocol: bool = True
    """Whether result.json says if it is finished; False for jobs of other sweepers."""


@dataclass(slots=True)
class SweepPlan:
    """All trials of a sweep, in the order of their expansion."""

    jobs: list[Job]
    title: str = ""
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    """Label of a combination, and of the equivalent one that runs."""
    notes: list[str] = field(default_factory=list)
    """Sentences on the whole plan, such as overrides that were ignored for some combinations."""
