"""What Hydra's plugin scan finds. Hydra 1.3 runs it again when its singletons are new, and stores the options anew."""

from hydra_slots import launcher, options, slurm, sweeper

options.store(replace=False)


class UnionSweeper(sweeper.UnionSweeper):
    """hydra/sweeper: union."""


class SlotsLauncher(launcher.SlotsLauncher):
    """hydra/launcher: slots."""


class SlurmLauncher(slurm.SlurmLauncher):
    """hydra/launcher: slurm."""
