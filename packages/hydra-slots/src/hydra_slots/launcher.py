"""The Hydra launcher `slots`: the sweep's trials on this machine's GPUs or cores."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_slots.devices import Slot, allocate
from hydra_slots.options import SlotsConf, checked

if TYPE_CHECKING:
    from hydra_slots.queue import TrialQueue
    from hydra_slots.sweep_plan import Job, SweepPlan


class SlotsLauncher(Launcher):
    """Runs jobs in warm worker processes, one per slot."""

    options: SlotsConf

    plan: "SweepPlan | None" = None
    """Set before `launch` by the sweeper `union`, which then shows the end of the sweep; jobs of other sweepers run
    whether or not they are finished."""

    def __init__(self, **options: Any) -> None:
        self.given = options  # checked in `setup`: Hydra wraps what a constructor raises
        self.options = SlotsConf()
        self.slots: list[Slot] = []
        self.config: DictConfig | None = None
        self.task_function: TaskFunction | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        self.options = o = checked(SlotsConf, self.given)
        self.slots = allocate(o.gpus, o.per_gpu, o.threads, o.slots, o.ranks_per_trial)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Every job's return, in order, failed ones too; exits with 128 + signal where it was stopped by one."""
        from hydra_slots.ending import show_end
        from hydra_slots.output import say
        from hydra_slots.summary import summary
        from hydra_slots.sweep_plan import SweepPlan

        o = self.options
        jobs = enumerate(job_overrides, initial_job_idx)
        plan = self.plan or SweepPlan([self.foreign_job(list(words), index) for index, words in jobs])
        say(summary(plan, self.workers(), every=o.dry_run))
        if o.dry_run:
            return []
        queue, signals = self.run(plan)
        if signals and queue.unfinished:
            left = f"{queue.unfinished} of {len(queue.jobs)} trials left"
            resumable = all(job.protocol for job in plan.jobs)
            say(f"Stopped and saved, {left}. Run the same command to resume." if resumable else f"Stopped, {left}.")
            raise SystemExit(128 + signals[0])
        results = [queue.outcomes.get(job.index) or JobReturn(overrides=job.overrides) for job in plan.jobs]
        if self.plan is None:
            show_end(plan.jobs, results, metric=o.metric, lower_is_better=o.lower_is_better)
        return results

    def workers(self) -> int:
        """Trials at a time; 0: unknown."""
        return len(self.slots)

    def run(self, plan: "SweepPlan") -> "tuple[TrialQueue, list[int]]":
        """Run everything that is not finished; what became of the trials, and the signals that stopped the sweep."""
        from hydra_slots.process import write_setup
        from hydra_slots.runner import Runner

        with write_setup(self.hydra_context, self.task_function, self.config, self.options.accumulate_key) as setup:
            runner = Runner(plan, self.slots, self.options, setup)
            runner.run()
        return runner.queue, runner.signals

    def foreign_job(self, overrides: list[str], index: int) -> "Job":
        """A job of another sweeper, in the folder that Hydra would give it."""
        from hydra_slots.compositions import hydra_folder
        from hydra_slots.sweep_plan import Job, PlannedTrial

        assert self.hydra_context is not None
        assert self.config is not None
        folder = hydra_folder(self.hydra_context.config_loader, self.config, overrides, index)
        label = " ".join(o for o in overrides if not o.startswith("hydra."))
        return Job(
            index, overrides, label, PlannedTrial("", folder, label or f"job {index}", group=label), protocol=False
        )
