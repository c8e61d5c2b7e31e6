"""The policy on synthetic problems, a small part of benchmarks/choose.py, with fixed seeds."""

import importlib.util
import sys
from typing import Any

import numpy as np

from rdrop_exp.choose.plan import Outcome
from tests.conftest import ROOT


def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("benchmark_choose", ROOT / "benchmarks" / "choose.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_close_to_the_best_with_fewer_trials_than_the_full_grid() -> None:
    b = benchmark()
    chosen = grid = 0
    for i in range(40):
        problem = b.make_problem(np.random.default_rng([3, i]))
        chosen += problem.regret(b.choose(problem, 400).leader) <= 0.2
        grid += b.full_grid(problem, 2 * 0.7 * 400) <= 0.2
    assert chosen >= 34  # 85 %: 90 % less two standard errors of so few problems
    assert chosen >= grid


def test_no_gain_where_there_is_none() -> None:
    b = benchmark()
    problems = [b.make_problem(np.random.default_rng([4, i]), null=True) for i in range(40)]
    assert [b.choose(problem, 200).outcome for problem in problems].count(Outcome.GAIN) <= 2
