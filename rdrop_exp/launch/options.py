"""Options of `hydra/launcher: runner` and `hydra/sweeper: union`, as Hydra's ConfigStore has them."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore

PLUGIN = "hydra_plugins.rdrop_exp_launch"
"""Hydra insists that plugins live in this namespace; wheels put `plugin.py` there."""


@dataclass
class RunnerConf:
    """Options of `hydra/launcher: runner`."""

    _target_: str = f"{PLUGIN}.RunnerLauncher"
    per_gpu: int = 1
    """Trials at once on each GPU."""
    gpus: Any = None
    """A list as CUDA_VISIBLE_DEVICES has it, or a number of GPUs; null: all visible ones; 0: the CPU."""
    threads: int = 1
    """CPU threads of each trial; without GPUs there is a worker for every `threads` cores."""
    slots: int | None = None
    """Number of workers; null: from the above."""
    retries: int = 1
    """Further attempts for a trial that failed."""
    timeout: float | None = None
    """Seconds that an attempt may take; null: unlimited."""
    grace: float = 60.0
    """Seconds that a trial which was asked to stop has for its checkpoint."""
    fail_fast: bool = False
    """Stop the sweep at the first trial that failed for good."""
    dry_run: bool = False
    """Print the plan and stop."""
    stagger: float = 0.5
    """Seconds between the starts of workers."""
    min_free_memory: int = 1000
    """MiB that must be free on a GPU before a worker starts there; 0: no check."""
    accumulate_key: str | None = None
    """Option that is doubled before the retry of a trial that ran out of memory; null: none."""
    metric: str | None = None
    """Metric that ranks the groups; null: what the task returns."""
    lower_is_better: bool | None = None
    """Direction of `metric`; null: by its name, lower for a loss, an error, a perplexity, ..."""
    columns: dict[str, str] = field(default_factory=dict)
    """Columns of the live display: heading to key in the rows of metrics.jsonl."""
    summary: str | None = None
    """module:function that gets the list of all trials' folders once the sweep has ended."""


@dataclass
class UnionConf:
    """Options of `hydra/sweeper: union`."""

    _target_: str = f"{PLUGIN}.UnionSweeper"
    sweep: str | None = None
    """Named sweep to run; null: the command line alone."""
    folder: str = "sweeps"
    """Folder of the named sweeps."""
    describe: str | None = None
    """module:function from a configuration to a launch.PlannedTrial; null: the configuration identifies a trial."""
    applies: str | None = None
    """module:function (configuration of a choice of groups, key) -> bool: whether the choice uses the key. In a sweep
    over several choices of a group, a key given for all of them is ignored where it is not used; null: used everywhere.
    """
    ignore: list[str] = field(default_factory=list)
    """Without `describe`: keys that cannot change a trial's result."""
    seed_key: str = "seed"
    """Key that `repeat: 3` in a sweep file repeats over; trials that differ only by it form a group."""
    name_key: str | None = None
    """Key that a named sweep sets to its own name, where the command line does not; null: none."""
    params: dict[str, str] | None = None
    """Overrides of every sweep, as in Hydra's basic sweeper."""


def store(launcher: dict[str, Any] | None = None, sweeper: dict[str, Any] | None = None) -> None:
    """Put both into the ConfigStore; the arguments replace the defaults above."""
    put = ConfigStore.instance().store
    put(group="hydra/launcher", name="runner", node=RunnerConf(**(launcher or {})), provider="rdrop-exp")
    put(group="hydra/sweeper", name="union", node=UnionConf(**(sweeper or {})), provider="rdrop-exp")
