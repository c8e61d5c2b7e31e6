"""What a terminal and a file see of a race."""

import io
import random
from pathlib import Path

import pytest
from rich.console import Console

from rdrop_exp.choose.families import families
from rdrop_exp.choose.live import Display
from rdrop_exp.choose.plan import BASELINE, Answer, Plan, Regime, Round, Score, Setting, Trial
from rdrop_exp.choose.policy import decide
from rdrop_exp.choose.scale import Scale
from rdrop_exp.choose.trials import label

PLAN = Plan(families={r: families(r, steps=400) for r in Regime}, standard=Setting("dropout", (2,)), budget=150)


def score(trial: Trial) -> Score:
    """R-Drop gains two points; seeds and settings add up to a point each."""
    setting, seed = trial
    shared, own = random.Random(seed).random(), random.Random(repr(trial)).random()
    value = 60 + shared + own + 2 * setting.family.startswith("rdrop")
    return Score(value, value, 1.0, 3.0)


def race(display: Display) -> tuple[list[tuple[Round, list[str]]], Answer]:
    """All rounds, each with the lines that are drawn half-way, and the answer."""
    scores: dict[Trial, Score] = {}
    drawn = []
    while not isinstance(now := decide(PLAN, scores), Answer):
        display.begin(now, scores)
        display.live.stop()
        file = io.StringIO()
        Console(file=file, width=display.console.width).print(display.view(now, len(now.trials) // 2))
        drawn.append((now, file.getvalue().splitlines()))
        scores |= {trial: score(trial) for trial in now.trials}
    return drawn, now


@pytest.mark.parametrize("width", [80, 120])
def test_the_live_view_fits_the_terminal(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=24, force_terminal=True, highlight=False)
    drawn, _ = race(Display(PLAN, Scale(), lambda part: f"{part:.0f} trials", console))
    for now, lines in drawn:
        assert len(lines) < 24
        assert max(map(len, lines)) <= width
        assert f"{len(now.trials) // 2}/{len(now.trials)} trials, " in lines[0]
    assert "dropout dropout=0.1" in "\n".join(drawn[0][1])  # the pilot shows what it runs
    now, lines = next((now, lines) for now, lines in drawn if len(now.racing) > 12 and BASELINE in now.racing)
    assert now.leader is not None
    places = {line.split("  ")[0]: i for i, line in enumerate(lines)}
    assert places[label(now.leader)] < places["none"] <= places[label(now.leader)] + 1 or now.leader == BASELINE
    assert any(line.startswith("  and ") and line.endswith(" more") for line in lines)
    assert any("cutoff=0.17 " in line for _, lines in drawn for line in lines)  # the end of a name is not cut off


def test_a_file_gets_each_event_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(PLAN, Scale(), lambda part: f"{part:.0f} trials")
    _, answer = race(display)
    display.end(answer.events)
    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if ": set aside" in line or ": dropped" in line]
    assert told
    assert len(told) == len(set(told))
    assert label(answer.events[-1].setting) in told[-1]
