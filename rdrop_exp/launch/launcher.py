"""The Hydra launcher `slots`: the sweep's trials on this machine's GPUs or cores, and an exit code that tells."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from rdrop_exp.launch import PLUGIN, Trial, load_hook

if TYPE_CHECKING:
    from rdrop_exp.launch.plan import Job, Plan
    from rdrop_exp.launch.pool import Pool


@dataclass
class SlotsConf:
    """Options of `hydra/launcher: slots`."""

    _target_: str = f"{PLUGIN}.SlotsLauncher"
    per_gpu: int = 1
    """Trials at once on each GPU."""
    gpus: Any = None
    """A list as CUDA_VISIBLE_DEVICES has it, or a number of GPUs; null: all that are visible; 0: the CPU."""
    threads: int = 1
    """CPU threads of each trial; without GPUs there is a slot for every `threads` cores."""
    slots: int | None = None
    """Number of slots; null: from the above."""
    retries: int = 1
    """Further tries for a trial that failed."""
    timeout: float | None = None
    """Seconds that a try may take; null: any."""
    grace: float = 60.0
    """Seconds that a trial which was asked to stop has for its checkpoint."""
    fail_fast: bool = False
    """Stop the sweep at the first trial that failed for good."""
    dry_run: bool = False
    """Print the plan and stop."""
    stagger: float = 0.5
    """Seconds between the starts of workers."""
    min_free_memory: int = 1000
    """MiB that must be free on a GPU before a worker starts there; 0: do not look."""
    accumulate_key: str | None = None
    """Option that is doubled when a trial ran out of memory and is tried again; null: none."""
    metric: str = "val/accuracy"
    """What the board ranks groups by."""
    summary: str | None = None
    """module:function that gets the list of all trials' folders once the sweep has ended."""


ConfigStore.instance().store(group="hydra/launcher", name="slots", node=SlotsConf, provider="rdrop-exp")


class SlotsLauncher(Launcher):
    """Runs jobs in warm worker processes, one a slot."""

    plan: "Plan | None" = None
    """Set by the sweeper `grid` before `launch`; other sweepers' jobs are run without asking what is finished."""

    def __init__(self, **options: Any) -> None:
        self.options = SlotsConf(**options)
        self.dry_run = self.options.dry_run
        self.config: DictConfig | None = None
        self.task_function: TaskFunction | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Every job's return, in order, failed ones too; exits with 128 + signal where it was stopped by one."""
        from rdrop_exp.launch.devices import allocate
        from rdrop_exp.launch.eta import summary
        from rdrop_exp.launch.overrides import SweepError
        from rdrop_exp.launch.plan import Plan

        o = self.options
        hook = load_hook(o.summary) if o.summary else None
        try:
            slots = allocate(o.gpus, o.per_gpu, o.threads, o.slots)
        except ValueError as error:
            raise SweepError(str(error)) from None
        plan = self.plan or Plan([self.stranger(list(w), initial_job_idx + i) for i, w in enumerate(job_overrides)])
        print(summary(plan, len(slots), every=self.dry_run), flush=True)
        if self.dry_run:
            return []
        pool = self.run(plan, slots)
        for job, reason in pool.ledger.failures:
            print(f"failed: {job.trial.name}: {reason}\n  log: {os.path.join(job.trial.folder, 'log.txt')}", flush=True)
        self.end(pool)
        if hook is None:
            pool.board.rank()
        else:
            hook([job.trial.folder for job in plan.jobs])
        return [pool.ledger.outcomes.get(job.index) or JobReturn(overrides=job.overrides) for job in plan.jobs]

    def run(self, plan: "Plan", slots: list[Any]) -> "Pool":
        from rdrop_exp.launch.display import Board
        from rdrop_exp.launch.pool import Pool
        from rdrop_exp.launch.process import write_setup
        from rdrop_exp.launch.queue import Ledger

        setup = write_setup(self.hydra_context, self.task_function, self.config, self.options.accumulate_key)
        try:
            board = Board(self.options.metric, plan.jobs)
            pool = Pool(Ledger(plan.jobs, self.options.retries, board), slots, self.options, setup, board)
            pool.run()
        finally:
            os.unlink(setup)
        return pool

    def end(self, pool: "Pool") -> None:
        """Say how to go on, and exit, where a signal stopped the sweep before its end."""
        missing = pool.ledger.missing
        if pool.signals and missing:
            print(
                f"stopped with {missing} of {len(pool.ledger.jobs)} trials to do; the same command goes on", flush=True
            )
            raise SystemExit(128 + pool.signals[0])

    def stranger(self, overrides: list[str], index: int) -> "Job":
        """A job of another sweeper, in the folder that Hydra would give it."""
        from rdrop_exp.launch.plan import Job, hydra_config

        assert self.hydra_context is not None
        assert self.config is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(index), index
        with hydra_config(config):
            folder = os.path.abspath(os.path.join(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)))
        label = " ".join(o for o in overrides if not o.startswith("hydra."))
        return Job(index, overrides, label, Trial("", folder, label or f"job {index}"), protocol=False)
