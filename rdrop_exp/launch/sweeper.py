"""The Hydra sweeper `grid`: reads the sweep, plans it, and hands every trial in one batch to whichever launcher."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from rdrop_exp.launch import PLUGIN, load_hook


@dataclass
class GridConf:
    """Options of `hydra/sweeper: grid`."""

    _target_: str = f"{PLUGIN}.GridSweeper"
    sweep: str | None = None
    """Named sweep to run; null: the command line alone."""
    folder: str = "sweeps"
    """Where named sweeps are."""
    describe: str | None = None
    """module:function from a configuration to a launch.Trial; null: a trial is its configuration."""
    ignore: list[str] = field(default_factory=list)
    """Without `describe`: keys that cannot change a trial's result."""
    seed_key: str = "seed"
    """What `repeat: 3` in a sweep file repeats over, and what does not make another group."""
    name_key: str | None = None
    """Key that a named sweep sets to its own name, where the command line does not; null: none."""
    params: dict[str, str] | None = None
    """Overrides that every sweep has, as Hydra's basic sweeper knows them."""


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConf, provider="rdrop-exp")


class GridSweeper(Sweeper):
    """Unions of grids, expanded, checked and de-duplicated before the first trial starts."""

    def __init__(self, **options: Any) -> None:
        self.options = GridConf(**options)
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        from rdrop_exp.launch.protocol import Once

        self.hydra_context, self.config = hydra_context, config
        task = task_function if self.options.describe else Once(task_function)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Plan and launch; exits with code 1 after a list of what failed, `SweepError` for what cannot be planned."""
        from rdrop_exp.launch.eta import summary
        from rdrop_exp.launch.grids import listing

        assert self.launcher is not None
        if self.options.sweep == "":
            print(listing(self.options.folder))
            return []
        plan, content = self.plan(arguments)
        if hasattr(self.launcher, "plan"):
            self.launcher.plan = plan
        else:
            print(summary(plan, slots=0, every=False), flush=True)
        if not getattr(self.launcher, "dry_run", False):
            self.keep(plan, content)
        results = self.launcher.launch([job.overrides for job in plan.jobs], initial_job_idx=0)
        report_failures(results, [job.label for job in plan.jobs])
        return [results]

    def plan(self, arguments: list[str]) -> Any:
        """The plan of these command line overrides, and the texts of the named sweep (title, baseline, ...)."""
        from rdrop_exp.launch.grids import Sweep, combinations, combine, read_sweep
        from rdrop_exp.launch.overrides import Reader
        from rdrop_exp.launch.plan import Planner

        assert self.hydra_context is not None
        assert self.config is not None
        o, loader = self.options, self.hydra_context.config_loader
        reader = Reader(loader, o.seed_key)
        own = [f"{key}={value}" for key, value in (o.params or {}).items()]
        factors = {factor.keys: factor for factor in map(reader.factor, [*own, *arguments])}
        sweep = read_sweep(reader, o.folder, o.sweep) if o.sweep is not None else Sweep()
        key = o.name_key or ("name" if "name" in sweep.texts else None)
        if sweep.name and key and (key,) not in factors:
            factors[(key,)] = reader.values(key, [sweep.texts.get("name", sweep.name)])
        hook = load_hook(o.describe) if o.describe else None
        planner = Planner(loader, self.config, reader, hook, o.ignore)
        title = f"{sweep.name}: {sweep.texts.get('title', '')}".rstrip(": ")
        plan = planner.plan(combinations(combine(sweep, list(factors.values()))), title)
        return plan, {"sweep": sweep.name, **sweep.texts} if sweep.name else {}

    def keep(self, plan: Any, content: dict[str, str]) -> None:
        """Leave what the sweep asks and compares beside its trials, as sweep.yaml, for reports."""
        for folder in {Path(job.trial.folder).parent for job in plan.jobs} if content else ():
            folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(OmegaConf.create(content), folder / "sweep.yaml")


def report_failures(results: Sequence[JobReturn], labels: list[str]) -> None:
    """Exit with code 1 where a job failed; what each says, all of them, goes to the terminal first."""
    import sys

    failed = [(r, label) for r, label in zip(results, labels, strict=False) if r.status == JobStatus.FAILED]
    for result, label in failed:
        error = result._return_value
        if not getattr(error, "told", False):  # the launcher slots has told already
            print(f"failed: {label}: {type(error).__name__}: {error}", file=sys.stderr)
    if failed:
        others = sum(r.status == JobStatus.UNKNOWN for r in results)
        rest = f", {others} were not run" if others else ""
        print(f"{len(failed)} of {len(labels)} trials failed{rest}", file=sys.stderr, flush=True)
        raise SystemExit(1)
