"""The Hydra sweeper `union`: reads the sweep, plans it, and hands every trial in one batch to whichever launcher."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_slots.hooks import load_hook
from hydra_slots.options import UnionConf, checked

if TYPE_CHECKING:
    from hydra_slots.sweep_plan import Job, PlannedTrial, SweepPlan


class UnionSweeper(Sweeper):
    """Unions of grids, expanded, checked and de-duplicated before the first trial starts."""

    def __init__(self, **options: Any) -> None:
        self.given = options  # checked in `setup`: Hydra wraps what a constructor raises
        self.options = UnionConf()
        self.summary: Callable[[list[str]], None] | None = None
        self.own_folders = False
        """Whether the application names its trials' folders by `hydra.sweep.subdir`; they say nothing of identity, and
        so its trials always run."""
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        from hydra_slots.protocol import Once

        self.hydra_context, self.config = hydra_context, config
        self.options = o = checked(UnionConf, self.given)
        self.summary = load_hook(o.summary, "hydra.sweeper.summary") if o.summary else None
        subdir = OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"]  # type: ignore[index, call-overload]
        self.own_folders = not self.options.describe and subdir != "${hydra.job.num}"
        task = task_function if self.options.describe or self.own_folders else Once(task_function)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Plan and launch; exits with code 1 after a list of what failed, `SweepError` for what cannot be planned."""
        from hydra_slots.ending import exit_code
        from hydra_slots.errors import SweepError
        from hydra_slots.record import write_sweep
        from hydra_slots.sweep_file import listing
        from hydra_slots.tree import Tree

        assert self.launcher is not None
        if self.options.sweep == "":
            print(listing(self.options.folder))
            return []
        plan, content = self.plan(arguments)
        tree = Tree(plan.jobs)
        plan.notes += [sentence] if (sentence := tree.sentence()) else []
        if getattr(getattr(self.launcher, "options", None), "dry_run", False):
            self.launch(plan)
            return []
        write_sweep(plan, content)
        tree.write()
        try:
            results = self.launch(plan)
        except SweepError:
            raise
        except Exception:  # the launcher broke down: show what has finished all the same
            self.show_end(plan, [JobReturn(overrides=job.overrides) for job in plan.jobs])
            raise
        if all(result.status != JobStatus.UNKNOWN for result in results):
            tree.remove()
        self.show_end(plan, results)
        if code := exit_code(plan.jobs, results):
            raise SystemExit(code)
        return [results]

    def launch(self, plan: "SweepPlan") -> Sequence[JobReturn]:
        """Run the plan; its progress is shown here where the launcher does not show it itself."""
        from hydra_slots.output import say
        from hydra_slots.progress import shown
        from hydra_slots.summary import summary

        assert self.launcher is not None
        words = [job.overrides for job in plan.jobs]
        if hasattr(self.launcher, "plan"):
            self.launcher.plan = plan
            return self.launcher.launch(words, initial_job_idx=0)
        say(summary(plan, workers=0, every=False))
        with shown(plan.jobs):
            return self.launcher.launch(words, initial_job_idx=0)

    def show_end(self, plan: "SweepPlan", results: Sequence[JobReturn]) -> None:
        from hydra_slots.ending import show_end

        o = getattr(self.launcher, "options", None)
        show_end(plan.jobs, results, self.summary, getattr(o, "metric", None), getattr(o, "lower_is_better", None))

    def plan(self, arguments: list[str]) -> Any:
        """The plan of these command line overrides, and what the named sweep says (title, baseline, ...)."""
        from hydra_slots.compositions import Compositions
        from hydra_slots.grids import combinations, combine
        from hydra_slots.overrides import Reader
        from hydra_slots.planner import Planner

        assert self.hydra_context is not None
        assert self.config is not None
        o, loader = self.options, self.hydra_context.config_loader
        reader = Reader(loader, o.seed_key)
        sweep, factors = self.read(reader, arguments)
        describe = load_hook(o.describe, "hydra.sweeper.describe") if o.describe else None
        applies = load_hook(o.applies, "hydra.sweeper.applies") if o.applies else None
        planner = Planner(Compositions(loader, self.config, reader), describe, applies, o.ignore, o.seed_key)
        name = f"{sweep.name} ({sweep.texts['scale']})" if "scale" in sweep.texts else sweep.name
        title = f"{name}: {sweep.texts.get('title', '')}".rstrip(": ")
        chosen = {key for factor in factors for key in factor.keys}
        optional = {key for grid in sweep.grids for f in grid for key in f.keys if key.partition(".")[0] in chosen}
        plan = planner.plan(combinations(combine(sweep, factors)), title, optional - chosen)
        if self.own_folders:
            plan.jobs[:] = [self.in_own_folder(job) for job in plan.jobs]
        accumulate_key = getattr(getattr(self.launcher, "options", None), "accumulate_key", None)
        known = planner.compositions.option_names() | chosen
        check_keys({"hydra.launcher.accumulate_key": [accumulate_key], "hydra.sweeper.ignore": o.ignore}, known)
        if sets := [o.together] if isinstance(o.together, str) else o.together:
            arguments = [*arguments, f"hydra.sweeper.together=[{','.join(sets)}]"]
        plan.notes[:0] = [f"Together: {' and '.join(f.keys)}, {len(f.rows)} values each" for f in factors if f.keys[1:]]
        texts = {**sweep.texts, "arguments": list(arguments)}
        plan.notes += self.check_plan(texts, [job.trial for job in plan.jobs])
        plan.notes += missing_baseline(plan, str(sweep.texts.get("baseline", "")))
        return plan, {"sweep": sweep.name, "arguments": list(arguments), **sweep.texts} if sweep.name else {}

    def in_own_folder(self, job: "Job") -> "Job":
        from hydra_slots.compositions import hydra_folder

        assert self.hydra_context is not None
        assert self.config is not None
        overrides = [text for text in job.overrides if not text.startswith(("hydra.sweep.dir=", "hydra.sweep.subdir="))]
        folder = hydra_folder(self.hydra_context.config_loader, self.config, overrides, job.index)
        return replace(job, overrides=overrides, trial=replace(job.trial, folder=folder), protocol=False)

    def read(self, reader: Any, arguments: list[str]) -> tuple[Any, list[Any]]:
        """The named sweep, empty if there is none, and the factors of the command line, with the sweep's name."""
        from hydra_slots.compositions import dotted_keys
        from hydra_slots.errors import SweepError
        from hydra_slots.grids import Sweep, read_sweep, zip_factors

        o = self.options
        params = [f"{key}={value}" for key, value in o.params.items()]
        factors = {factor.keys: factor for factor in map(reader.factor, [*params, *arguments])}
        chosen = {key for keys in factors for key in keys}
        known = {*dotted_keys(OmegaConf.to_container(self.config, resolve=False)), *chosen, UnionConf().seed_key}
        check_keys({"hydra.sweeper.seed_key": [o.seed_key], "hydra.sweeper.name_key": [o.name_key]}, known)
        if o.sweep is None and o.scale is not None:
            raise SweepError(f"hydra.sweeper.scale={o.scale} needs a named sweep: add sweep=NAME")
        sweep = read_sweep(reader, o.folder, o.sweep, o.scale) if o.sweep is not None else Sweep()
        key = o.name_key or ("name" if "name" in sweep.texts else None)
        if sweep.name and key and (key,) not in factors:
            factors[(key,)] = reader.values(key, [sweep.texts.get("name", sweep.name)])
        return sweep, zip_factors(list(factors.values()), o.together)

    def check_plan(self, texts: dict[str, Any], trials: "list[PlannedTrial]") -> list[str]:
        """What the application says about all trials, now that they are described; `SweepError` if it refuses them."""
        from hydra_slots.errors import SweepError

        if not self.options.check:
            return []
        try:
            return list(load_hook(self.options.check, "hydra.sweeper.check")(texts, trials) or [])
        except ValueError as error:
            raise SweepError(str(error)) from error


def check_keys(options: dict[str, Sequence[str | None]], known: set[str]) -> None:
    """`SweepError` for an option of sweeper or launcher that names a key which no trial has."""
    from hydra_slots.errors import SweepError, suggestion

    for option, keys in options.items():
        for key in keys:
            if key is not None and key not in known:
                raise SweepError(f"{option}={key} must be an option of the trials{suggestion(key, known)}")


def missing_baseline(plan: "SweepPlan", baseline: str) -> list[str]:
    """A warning for a plan without the baseline of its sweep, which is an override or begins with a method."""
    methods = {job.trial.method for job in plan.jobs} | {text for job in plan.jobs for text in job.overrides}
    if not baseline or {baseline, baseline.split()[0]} & methods:
        return []
    return [f"Warning: the sweep's baseline {baseline} is not among these trials"]
