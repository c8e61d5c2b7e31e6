"""Options of the launchers `slots` and `slurm` and the sweeper `union`: defaults, ranges, and their place in Hydra."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from omegaconf import OmegaConf

from hydra_slots.errors import SweepError, suggestion
from hydra_slots.hydra_private import is_stored, store_config

PLUGIN = "hydra_plugins.hydra_slots"
"""Hydra insists that plugins live in this namespace."""
application: dict[type, dict[str, Any]] = {}
"""Defaults that the application has registered; they last when Hydra's singletons, such as the ConfigStore, do not."""

Conf = TypeVar("Conf", "SlotsConf", "SlurmConf", "UnionConf")


def option(default: Any, valid: str, fits: Callable[[Any], bool]) -> Any:
    """A field whose value must satisfy `fits`, or be null where that is the default; `valid` says so in words."""
    if default is None:
        valid = f"{valid}, or null"

    def fits_or_null(value: Any) -> bool:
        return (value is None and default is None) or fits(value)

    return field(default=default, metadata={"valid": valid, "fits": fits_or_null})


def whole(default: int | None, low: int, high: int = 10**6) -> Any:
    valid = f"a whole number from {low} to {high}"
    return option(default, valid, lambda value: type(value) is int and low <= value <= high)


def seconds(default: float | None, positive: bool = False) -> Any:
    def fits(value: Any) -> bool:
        return type(value) in (int, float) and math.isfinite(value) and (value > 0 if positive else value >= 0)

    return option(default, f"a number of seconds {'above' if positive else 'of at least'} 0", fits)


def flag(default: bool | None) -> Any:
    return option(default, "true or false", lambda value: isinstance(value, bool))


def text(default: str | None) -> Any:
    return option(default, "a text", lambda value: isinstance(value, str))


def are_texts(value: Any) -> bool:
    """Whether this is a text or a list of texts."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def are_zipped(value: Any) -> bool:
    """Whether this is `key+key`, or a list of such texts."""
    texts = [value] if isinstance(value, str) else value
    return are_texts(texts) and all(len(keys) > 1 and all(keys) for keys in (text.split("+") for text in texts))


KEYS = {"valid": "a list of keys", "fits": lambda value: isinstance(value, list) and are_texts(value)}
FOLDERS = {"valid": "a folder or a list of folders", "fits": lambda value: bool(value) and are_texts(value)}
ZIPPED = {
    "valid": "two or more keys such as lr+batch_size, a list of such texts, or null",
    "fits": lambda value: value is None or are_zipped(value),
}
MAPPING = {"valid": "a mapping such as {key: value}", "fits": lambda value: isinstance(value, dict)}


@dataclass
class SlotsConf:
    """Options of `hydra/launcher: slots`."""

    per_gpu: int = whole(1, 1, 1024)
    """Trials at once on each GPU."""
    gpus: Any = None
    """A list as CUDA_VISIBLE_DEVICES has it, or a number of GPUs; null: all visible ones; 0: the CPU."""
    threads: int = whole(1, 1, 1024)
    """CPU threads of each trial; without GPUs there is a worker for every `threads` cores."""
    ranks_per_trial: int = whole(1, 1, 1024)
    """Processes of each trial, which it joins by torch.distributed: each on a GPU of its own, or on `threads` cores."""
    slots: int | None = whole(None, 1, 1024)
    """Number of workers; null: from the above."""
    retries: int = whole(1, 0)
    """Further attempts for a trial that failed."""
    timeout: float | None = seconds(None, positive=True)
    """Seconds that an attempt may take; null: unlimited."""
    grace: float = seconds(60.0)
    """Seconds that a trial which was asked to stop has for its checkpoint."""
    fail_fast: bool = flag(False)
    """Stop the sweep at the first trial that failed for good."""
    dry_run: bool = flag(False)
    """Print the plan and stop."""
    stagger: float = seconds(0.5)
    """Seconds between the starts of workers."""
    min_free_memory: int = whole(1000, 0, 10**9)
    """MiB that must be free on a GPU before a worker starts there; 0: no check."""
    accumulate_key: str | None = text(None)
    """Option that is doubled before the retry of a trial that ran out of memory; null: none."""
    metric: str | None = text(None)
    """Metric that ranks the groups; null: what the planned trial names, or else what the task returns."""
    lower_is_better: bool | None = flag(None)
    """Direction of `metric`; null: by its name, lower for a loss, an error, a perplexity, ..."""
    columns: dict[str, str] = field(default_factory=dict, metadata=MAPPING)
    """Columns of the live display: heading to key in the rows of metrics.jsonl, or to `a|b`, or to `metric`."""


LINES = {"valid": "a list of texts", "fits": KEYS["fits"]}


@dataclass
class SlurmConf(SlotsConf):
    """Options of `hydra/launcher: slurm`, beside those of `slots`, which apply within each job."""

    partition: str | None = text(None)
    """As in sbatch; null: Slurm's default. So with `account` and `qos`."""
    account: str | None = text(None)
    """Whom the jobs are charged to."""
    qos: str | None = text(None)
    """Quality of service."""
    minutes: int | None = whole(None, 1)
    """Time limit of a job; where it is reached, trials save checkpoints and the job is queued again. null: the
    partition's."""
    cpus: int = whole(1, 1, 4096)
    """CPU cores of each job."""
    gpus: int | None = whole(None, 0, 1024)
    """GPUs of each job; null: none."""
    threads: int | None = whole(None, 1, 1024)  # type: ignore[assignment]
    """CPU threads of each trial; null: `cpus` divided by the number of workers."""
    slots: int | None = whole(None, 1, 1024)
    """Workers of each job; null: `per_gpu` for each GPU, or one."""
    memory: str | None = text(None)
    """Of each job, such as 32G; null: Slurm's default."""
    trials_per_job: int = whole(1, 1)
    """Trials of each job; they share its warm workers."""
    jobs_at_once: int | None = whole(None, 1)
    """Jobs of the array that may run at the same time; null: as many as Slurm allows."""
    requeues: int = whole(100, 0)
    """How often a job may be queued again after it was preempted or reached its time limit."""
    setup: list[str] = field(default_factory=list, metadata=LINES)
    """Lines of shell that each job runs first, such as `module load cuda`."""
    sbatch: dict[str, Any] = field(default_factory=dict, metadata=MAPPING)
    """Further options of sbatch, such as {constraint: a100, exclusive: true}."""


@dataclass
class UnionConf:
    """Options of `hydra/sweeper: union`."""

    sweep: str | None = text(None)
    """Named sweep to run; null: the command line alone."""
    scale: str | None = text(None)
    """Scale of the named sweep, of those that its file has; null: the first."""
    folder: Any = field(default="sweeps", metadata=FOLDERS)
    """Folder of the named sweeps, or several: of a name in two of them, the first counts."""
    describe: str | None = text(None)
    """module:function from a configuration to a PlannedTrial; null: the configuration identifies a trial."""
    applies: str | None = text(None)
    """module:function (configuration of a choice of groups, key) -> bool: whether the choice uses the key. In a sweep
    over several choices of a group, a key given for all of them is ignored where it is not used; null: used everywhere.
    """
    check: str | None = text(None)
    """module:function (what a named sweep says about itself, list of PlannedTrial) -> sentences for the plan,
    called once all trials are described; a ValueError refuses the sweep. null: none."""
    ignore: list[str] = field(default_factory=list, metadata=KEYS)
    """Without `describe`: keys that cannot change a trial's result."""
    seed_key: str = text("seed")
    """Key that `repeat: 3` in a sweep file repeats over; trials that differ only by it form a group."""
    name_key: str | None = text(None)
    """Key that a named sweep sets to its own name, where the command line does not; null: none."""
    together: Any = field(default=None, metadata=ZIPPED)
    """Keys, as in lr+batch_size, whose lists on the command line move together: the first value of each, the second of
    each, ... A list of such texts for several sets of keys. null: all lists are multiplied."""
    params: dict[str, Any] = field(default_factory=dict, metadata=MAPPING)
    """Overrides of every sweep, as in Hydra's basic sweeper."""
    summary: str | None = text(None)
    """module:function that gets the list of the trials' folders, where they exist, once the sweep has ended."""


PREFIXES: dict[type, str] = {SlotsConf: "hydra.launcher", SlurmConf: "hydra.launcher", UnionConf: "hydra.sweeper"}
CHOICES: dict[type, tuple[str, str]] = {
    SlotsConf: ("slots", "SlotsLauncher"),
    SlurmConf: ("slurm", "SlurmLauncher"),
    UnionConf: ("union", "UnionSweeper"),
}
"""Name in its group, and class of the plugin."""


def checked(cls: type[Conf], values: dict[str, Any]) -> Conf:
    """These options; `SweepError` naming the option, its value and what is valid."""
    known = {each.name: each.metadata for each in dataclasses.fields(cls)}
    plain: dict[str, Any] = {
        k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for k, v in values.items()
    }
    for name, value in plain.items():
        key = f"{PREFIXES[cls]}.{name}"
        if name not in known:
            raise SweepError(why_unknown(key))
        fits = known[name].get("fits")
        if fits and not fits(value):
            given = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
            raise SweepError(f"{key}={given} must be {known[name]['valid']}")
    return cls(**plain)


def why_unknown(key: str) -> str:
    """Why `key` is not an option of launcher or sweeper, with the nearest one; empty if it is one, or another's."""
    prefix, _, name = key.rpartition(".")
    names = {each.name: cls for cls, its in PREFIXES.items() if its == prefix for each in dataclasses.fields(cls)}
    if not names or name in {each.name for each in dataclasses.fields(UnionConf if "sweeper" in prefix else SlotsConf)}:
        return ""
    if name in names:
        return f"{key} is an option of {prefix.replace('.', '/')}={CHOICES[names[name]][0]} only"
    return f"{key} is not an option{suggestion(key, [f'{prefix}.{each}' for each in names])}"


def store(replace: bool = True) -> None:
    """Put both into the ConfigStore, without types: `checked` is clearer; `application` replaces the defaults above.

    Without `replace`, those stay that are there: a worker process is given the ConfigStore with the application's.
    """
    for cls, (name, plugin) in CHOICES.items():
        group = PREFIXES[cls].replace(".", "/")
        if not replace and is_stored(group, name):
            continue
        node = {"_target_": f"{PLUGIN}.{plugin}", **dataclasses.asdict(cls(**application.get(cls, {})))}
        config = OmegaConf.create(node)
        for mapping in (each for each in node if isinstance(node[each], dict)):
            OmegaConf.set_struct(config[mapping], False)  # the command line may add keys
        store_config(group, name, config)
