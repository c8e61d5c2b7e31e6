"""The board: a live view where there is a terminal, lines elsewhere."""

import io
import json
import os

from rich.console import Console

from rdrop_exp.launch import Trial
from rdrop_exp.launch.devices import Slot
from rdrop_exp.launch.display import Board, group_names
from rdrop_exp.launch.launcher import SlotsConf
from rdrop_exp.launch.plan import Job
from rdrop_exp.launch.pool import Pool, Run
from rdrop_exp.launch.queue import Ledger


class Idle:
    """Stands in for a worker: this very process."""

    def memory(self):
        return 123


def console(screen, terminal):
    return Console(file=screen, force_terminal=terminal, width=100, height=30, highlight=False, color_system=None)


def make(tmp_path, terminal):
    """A board, and a pool with four trials of two groups: one finished before, one running."""
    trials = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    jobs = [
        Job(i, [], f"{g}{s}", Trial(f"{g}{s}", str(tmp_path / f"{g}{s}"), f"digits-{g}-s{s}", g))
        for i, (g, s) in enumerate(trials)
    ]
    (tmp_path / "a0").mkdir()
    result = {"status": "finished", "metrics": {"val/accuracy": 0.91234}, "seconds": 60}
    (tmp_path / "a0" / "result.json").write_text(json.dumps(result))
    screen = io.StringIO()
    board = Board("val/accuracy", jobs, console(screen, terminal))
    pool = Pool(Ledger(jobs, 1, board), [Slot(0, None, 1), Slot(1, "3", 1)], SlotsConf(), "", board)
    (tmp_path / "b0").mkdir()
    row = {"progress": 0.5, "epoch": 2.5, "train/loss": 0.1234, "val/accuracy": 0.8, "images_per_second": 12345.6}
    (tmp_path / "b0" / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    pool.runs = {pool.slots[1]: Run(Idle(), pool.ledger.queue.pop(1))}
    return board, pool, screen


def test_a_terminal_shows_progress_slots_ranking_and_failures(tmp_path):
    board, pool, screen = make(tmp_path, terminal=True)
    pool.ledger.failures.append((pool.ledger.jobs[3], "ValueError: [red]no[/red]"))
    board.failed(*pool.ledger.failures[0])
    with board.show(pool):
        board.refresh()
    text = screen.getvalue()
    assert "1 of 4 trials are finished already" in text
    assert "1/4 trials, 1 failed, about 90 s left" in text  # a half and two whole trials of 60 s on two slots
    row = next(line for line in text.splitlines() if "digits-b-s0" in line)
    for word in ("1 (GPU 3)", "50%", "2.5", "0.1234", "0.8", "12,346", "123"):
        assert word in row
    assert any("digits-a" in line and "0.9123" in line for line in text.splitlines())
    assert "failed: digits-b-s1: ValueError: [red]no[/red]" in text


def test_elsewhere_there_are_lines(tmp_path):
    board, pool, screen = make(tmp_path, terminal=False)
    with board.show(pool):
        board.refresh()
        board.finished(pool.ledger.jobs[1], {"value": 3}, 2.0, "")
        board.finished(pool.ledger.jobs[2], {}, None, "elsewhere")
        board.failed(pool.ledger.jobs[3], "ValueError: no")
    assert screen.getvalue().splitlines() == [
        "1 of 4 trials are finished already",
        "[2/4] finished digits-a-s1  value 3  2.0 s",
        "[3/4] finished digits-b-s0  by another runner",
        "[4/4] failed   digits-b-s1  ValueError: no",
    ]
    board.rank()
    assert f"digits-a{' ' * 4}" in screen.getvalue().split("ValueError: no")[1]


def test_groups_are_called_by_what_their_trials_have_in_common(tmp_path):
    def jobs(*names):
        return [Job(i, [], "", Trial(str(i), os.devnull, name, "g")) for i, name in enumerate(names)]

    assert group_names(jobs("digits-vit-p0.1-s0", "digits-vit-p0.1-s11")) == {"g": "digits-vit-p0.1"}
    assert group_names(jobs("reg=drop seed=0", "reg=drop seed=1")) == {"g": "reg=drop"}
    assert group_names(jobs("alone-s0")) == {"g": "alone-s0"}
    assert group_names(jobs("seed=0", "seed=1")) == {"g": "seed=0"}
