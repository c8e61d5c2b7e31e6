"""What Hydra's plugin scan finds: wheels install this file as hydra_plugins/rdrop_exp_launch.py."""

from rdrop_exp.launch import launcher, options, sweeper

options.store()


class UnionSweeper(sweeper.UnionSweeper):
    """hydra/sweeper: union."""


class RunnerLauncher(launcher.RunnerLauncher):
    """hydra/launcher: runner."""
