"""What the trial queue reports and the display shows."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hydra_slots.sweep_plan import Job


class EventKind(StrEnum):
    """What happened to a trial."""

    FINISHED = "finished"
    FINISHED_EARLIER = "finished earlier"
    FINISHED_ELSEWHERE = "finished by another runner"
    PAUSED = "paused"
    PAUSED_EARLIER = "paused earlier"
    RETRY = "retry"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrialEvent:
    """One change of one trial."""

    kind: EventKind
    job: Job
    reason: str = ""
    """Of a retry or a failure."""
    result: dict[str, Any] = field(default_factory=dict)
    """What result.json holds."""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker at this moment."""

    worker: str
    trial: str = ""
    """Name of its trial; empty: idle."""
    stage: str = ""
    """What the trial does before its first row of metrics."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """The last row of metrics.jsonl."""
    memory: int | None = None
    """Resident memory, MiB."""
    seconds: float = 0.0
    """Since the trial was started."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A running sweep at this moment."""

    workers: list[WorkerRow]
    elsewhere: int = 0
    """Trials that other runners run."""
    seconds_left: float | None = None
    """Expected; None: unknown."""
