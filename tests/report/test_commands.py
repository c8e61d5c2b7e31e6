"""The commands that reproduce a comparison."""

import itertools
from pathlib import Path

from rdrop_exp.report.commands import join
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.page import payload
from tests.report.trials import EARLY, NONE, RDROP, write_trial


def commands_of(root: Path) -> dict[str, int]:
    (shown,) = payload(make_report([root]))["comparisons"]
    return {entry["command"]: entry["trials"] for entry in shown["commands"]}


def test_commands_join_the_seeds(tmp_path: Path) -> None:
    for seed in (0, 2, 10):
        write_trial(tmp_path, RDROP, seed, result={"command": f"rdrop-exp regularizer=rdrop seed={seed} name=demo"})
        write_trial(tmp_path, NONE, seed, result={"command": "rdrop-exp -m sweep=demo dataset.split_seed=1"})
    write_trial(tmp_path, EARLY, 0, result={"command": "rdrop-exp regularizer=early_dropout seed=0"})
    assert commands_of(tmp_path) == {
        "rdrop-exp -m regularizer=rdrop seed=0,2,10 name=demo": 3,
        "rdrop-exp -m sweep=demo dataset.split_seed=1": 3,
        "rdrop-exp regularizer=early_dropout seed=0": 1,
    }


def test_a_grid_is_one_command(tmp_path: Path) -> None:
    for alpha in (0.5, 2.0, 10.0):
        for seed in range(2):
            command = f"rdrop-exp regularizer=rdrop regularizer.alpha={alpha:g} 'model.args={{a: [1, 2]}}' seed={seed}"
            write_trial(tmp_path, RDROP | {"alpha": alpha}, seed, result={"command": command})
    assert commands_of(tmp_path) == {
        "rdrop-exp -m regularizer=rdrop regularizer.alpha=0.5,2,10 'model.args={a: [1, 2]}' seed=0,1": 6
    }


def test_what_is_no_grid_is_a_union_of_grids(tmp_path: Path) -> None:
    commands = [f"rdrop-exp a={a} b={b} seed={s}" for a, b in ((1, 1), (1, 2), (2, 1)) for s in (0, 1)]
    joined = join(commands)
    assert sum(count for _, count in joined) == 6
    covered = []
    for command, _ in joined:
        keys, values = zip(*(word.split("=") for word in command.split()[2:]), strict=True)
        assert keys == ("a", "b", "seed")
        covered += list(itertools.product(*(value.split(",") for value in values)))
    assert sorted(covered) == sorted(tuple(c.replace("=", " ").split()[2::2]) for c in commands)


def test_a_named_sweep_is_its_own_command(tmp_path: Path) -> None:
    for seed in range(2):
        write_trial(tmp_path, NONE, seed, result={"command": f"rdrop-exp regularizer=none seed={seed} name=demo"})
    (tmp_path / "demo" / "sweep.yaml").write_text("sweep: demo\ntitle: T\n")
    assert commands_of(tmp_path) == {"rdrop-exp -m sweep=demo": 2}
    (tmp_path / "demo" / "sweep.yaml").write_text("sweep: demo\narguments: [schedule.epochs=3, 'seed=0,1']\n")
    assert commands_of(tmp_path) == {"rdrop-exp -m sweep=demo schedule.epochs=3 seed=0,1": 2}
    (tmp_path / "demo" / "sweep.yaml").write_text("sweep: demo\narguments: 3\n")
    (tmp_path / "demo").rename(tmp_path / "again")
    assert commands_of(tmp_path) == {"rdrop-exp -m sweep=demo name=again": 2}


def test_of_many_commands_those_of_best_and_baseline_are_shown(tmp_path: Path) -> None:
    for i in range(30):
        command = {"command": f"rdrop-exp regularizer=rdrop regularizer.alpha={1 + i} x{i}=1"}
        write_trial(tmp_path, RDROP | {"alpha": 1.0 + i}, 0, 0.9 + i / 1000, result=command)
    write_trial(tmp_path, NONE, 0, 0.8, result={"command": "rdrop-exp regularizer=none"})
    assert commands_of(tmp_path) == {
        "rdrop-exp regularizer=rdrop regularizer.alpha=30 x29=1": 1,
        "rdrop-exp regularizer=none": 1,
    }
