"""`rdrop-probe`: overfitting or underfitting, and what to try next.

setting     the given options, data sizes, noise sites and speed
budget      how many trials of which kind fit (plain arithmetic)
conditions  those trials: pairs with and without noise, in the given setting and in variations of it
findings    what the finished pairs show
verdict     the paper's rule, applied only as far as the intervals allow
advice      what to do next, as a sweep file
cli         the command
"""

from rdrop_exp.probe.cli import main

__all__ = ["main"]
