"""What Hydra's plugin scan finds, and runs again whenever its singletons are new: the options are stored anew."""

from hydra_slots import launcher, options, sweeper

options.store(replace=False)


class UnionSweeper(sweeper.UnionSweeper):
    """hydra/sweeper: union."""


class SlotsLauncher(launcher.SlotsLauncher):
    """hydra/launcher: slots."""
