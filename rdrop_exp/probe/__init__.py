"""`rdrop-probe`: over-fitting or under-fitting, and what to try next.

setting   the user's own options, data sizes, places for noise, speed
budget    how many trials of which kind fit (plain arithmetic)
arms      those trials: pairs with and without noise, on the setting and on variations of it
findings  what the finished pairs say
verdict   the paper's rule on them, and no more than the interval shows
advice    what to do next, as a sweep file
cli       the command
"""

from rdrop_exp.probe.cli import main

__all__ = ["main"]
