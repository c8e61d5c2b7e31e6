"""The Hydra launcher `slurm`: the sweep's trials as one array of Slurm jobs, each with warm workers of its own."""

import shutil
from typing import TYPE_CHECKING

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_slots.errors import SweepError
from hydra_slots.launcher import SlotsLauncher
from hydra_slots.options import SlurmConf, checked

if TYPE_CHECKING:
    from hydra_slots.queue import TrialQueue
    from hydra_slots.sweep_plan import SweepPlan


class SlurmLauncher(SlotsLauncher):
    """Submits the sweep to Slurm and waits for it."""

    options: SlurmConf

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        self.options = o = checked(SlurmConf, self.given)
        o.slots = o.slots or max(1, o.gpus or 0) * o.per_gpu
        o.threads = o.threads or max(1, o.cpus // o.slots)
        if not o.dry_run and shutil.which("sbatch") is None:
            raise SweepError("hydra/launcher=slurm needs Slurm's commands on this machine: sbatch was not found")

    def workers(self) -> int:
        return 0  # Slurm decides

    def run(self, plan: "SweepPlan") -> "tuple[TrialQueue, list[int]]":
        from hydra_slots.process import write_setup
        from hydra_slots.slurm_sweep import SlurmSweep

        sweep = SlurmSweep(plan, self.options)
        if sweep.queue.waiting:
            with write_setup(self.hydra_context, self.task_function, self.config, self.options.accumulate_key) as setup:
                setup.seek(0)
                sweep.submit(setup.read())
            sweep.run()
        return sweep.queue, sweep.signals
