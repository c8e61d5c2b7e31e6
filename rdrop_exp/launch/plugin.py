"""What Hydra's plugin scan finds: wheels install this file as hydra_plugins/rdrop_exp_launch.py."""

from rdrop_exp.launch import launcher, sweeper


class GridSweeper(sweeper.GridSweeper):
    """hydra/sweeper: grid."""


class SlotsLauncher(launcher.SlotsLauncher):
    """hydra/launcher: slots."""
