"""The Hydra launcher `slots`: the sweep's trials on this machine's GPUs or cores, and an exit code for the outcome."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_slots.devices import Slot, allocate
from hydra_slots.hooks import load_hook
from hydra_slots.options import SlotsConf, checked

if TYPE_CHECKING:
    from hydra_slots.runner import Runner
    from hydra_slots.sweep_plan import Job, SweepPlan


class SlotsLauncher(Launcher):
    """Runs jobs in warm worker processes, one per slot."""

    plan: "SweepPlan | None" = None
    """Set by the sweeper `union` before `launch`; jobs of other sweepers run whether or not they are finished."""

    def __init__(self, **options: Any) -> None:
        self.given = options  # checked in `setup`: Hydra wraps what a constructor raises
        self.options = SlotsConf()
        self.summary: Callable[[list[str]], None] | None = None
        self.slots: list[Slot] = []
        self.config: DictConfig | None = None
        self.task_function: TaskFunction | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        self.options = o = checked(SlotsConf, self.given)
        self.summary = load_hook(o.summary, "hydra.launcher.summary") if o.summary else None
        self.slots = allocate(o.gpus, o.per_gpu, o.threads, o.slots, o.ranks_per_trial)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Every job's return, in order, failed ones too; exits with 128 + signal where it was stopped by one."""
        from hydra_slots.output import say
        from hydra_slots.summary import summary
        from hydra_slots.sweep_plan import SweepPlan

        o = self.options
        jobs = enumerate(job_overrides, initial_job_idx)
        plan = self.plan or SweepPlan([self.foreign_job(list(words), index) for index, words in jobs])
        say(summary(plan, len(self.slots), every=o.dry_run))
        if o.dry_run:
            return []
        runner = self.run(plan)
        queue = runner.queue
        for job, reason in queue.failures:
            say(f"failed: {job.trial.name}: {reason}\n  log: {os.path.join(job.trial.folder, 'log.txt')}")
        if runner.signals and queue.unfinished:
            left = f"{queue.unfinished} of {len(queue.jobs)} trials left"
            resumable = all(job.protocol for job in plan.jobs)
            say(f"Stopped and saved, {left}. Run the same command to resume." if resumable else f"Stopped, {left}.")
            raise SystemExit(128 + runner.signals[0])
        folders = [job.trial.folder for job in plan.jobs if os.path.isdir(job.trial.folder)]
        if self.summary is None:
            runner.display.print_ranking()
        elif folders:
            try:
                self.summary(folders)
            except OSError as error:  # the trials are safe all the same
                say(f"Warning: the summary could not be written: {error}")
        return [queue.outcomes.get(job.index) or JobReturn(overrides=job.overrides) for job in plan.jobs]

    def run(self, plan: "SweepPlan") -> "Runner":
        from hydra_slots.process import write_setup
        from hydra_slots.runner import Runner

        with write_setup(self.hydra_context, self.task_function, self.config, self.options.accumulate_key) as setup:
            runner = Runner(plan, self.slots, self.options, setup)
            runner.run()
        return runner

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
