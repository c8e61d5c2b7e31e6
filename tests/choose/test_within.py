"""`--prune-within`: what is judged early in training, what goes on and what it costs; resuming changes nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdrop_exp.choose.families import FAMILIES
from rdrop_exp.choose.plan import BASELINE, Answer, Fate, Outcome, Round, Score, Setting, Stage
from rdrop_exp.choose.policy import decide
from rdrop_exp.choose.setting import examine
from rdrop_exp.choose.trials import Trials
from rdrop_exp.choose.within import Noise, noise_at, pauses
from rdrop_exp.cli import hydra_ready
from rdrop_exp.config.schema import OptionError
from rdrop_exp.runs.folder import trial_folder
from tests.choose.test_guarantees import benchmark
from tests.choose.test_policy import STANDARD, plan_of, score

BY_NAME = {family.name: family for family in FAMILIES}
HALF = 0.5


def test_pauses_are_at_validations_before_the_last() -> None:
    assert pauses(300, 10, 1) == (0.5,)
    assert pauses(50, 10, 1) == (0.4,)
    assert pauses(300, 10, 4) == (pytest.approx(16 / 30),)
    assert pauses(400, 12, 2) == (pytest.approx(16 * 12 / 400),)
    with pytest.raises(OptionError, match="validate_every"):
        pauses(20, 10, 2)


def test_only_what_has_made_its_last_switch_is_judged() -> None:
    def at(name: str, cutoff: int) -> Noise | None:
        return noise_at(BY_NAME[name], Setting(name, (2, cutoff)), HALF)

    assert noise_at(BY_NAME["dropout"], Setting("dropout", (2,)), HALF) == at("rdrop", 0) == Noise.ON
    assert [at("late_dropout", i) for i in range(5)] == [Noise.ON] * 4 + [None]  # a cutoff at two thirds is ahead
    assert [at("early_dropout", i) for i in range(5)] == [Noise.OFF] * 4 + [None]
    assert noise_at(None, BASELINE, HALF) is None


def early_score(key: Any) -> Score:
    """As in `test_policy`; settings of the highest rates are far behind at the pause."""
    final = score(lambda s: 2.0 if s.family == "rdrop" else 0.0, key[0], key[1], sd=0.2)
    behind = 5.0 * (bool(key[0].levels) and key[0].levels[0] == 4)
    assert final.val is not None
    if len(key) == 3:
        return Score(final.val - behind, cost=key[2])
    return Score(final.val, final.test, early={HALF: final.val - behind} if key[1] == 0 else {})


def play() -> tuple[Answer, list[Round], dict[Any, Score]]:
    plan, scores, rounds = plan_of(pauses=(HALF,)), dict[Any, Score](), list[Round]()
    while not isinstance(now := decide(plan, scores), Answer):
        rounds.append(now)
        scores |= {key: early_score(key) for key in now.keys}
    return now, rounds, scores


def test_the_worse_half_stops_and_is_paid_in_part() -> None:
    answer, rounds, scores = play()
    pruned = [event for event in answer.events if event.fate == Fate.PRUNED]
    assert pruned
    assert all(event.share == HALF and event.difference < 0 for event in pruned)
    for event in pruned:
        assert [key for key in scores if key[0] == event.setting] == [(event.setting, 0, HALF)]  # it ran no further
    assert answer.outcome == Outcome.GAIN
    assert answer.best.family == "rdrop"
    assert answer.spent == sum(len(key) == 2 for key in scores) + HALF * len(pruned) <= 150
    asked = [trial for now in rounds if now.share < 1 for trial in now.trials]
    assert {seed for _, seed in asked} == {0}
    starts = {family.start for family in FAMILIES}
    assert not {setting for setting, _ in asked} & (starts | {BASELINE, STANDARD})  # published values run to the end
    late = [s for s, _, *_ in scores if s.family == "late_dropout" and s.levels[1] == 4]
    assert not set(late) & {setting for setting, _ in asked}  # not begun at the pause: never judged there
    best = max((scores[e.setting, 0, HALF].val or 0.0) for e in pruned)
    on = [s for s, _ in asked if s not in {e.setting for e in pruned}]
    assert all((scores[s, 0, HALF].val or 0.0) > best - 5.0 for s in on)


def test_a_resumed_choice_decides_the_same() -> None:
    answer, rounds, scores = play()
    keys = [key for now in rounds for key in now.keys]
    for cut in range(0, len(keys), 9):
        known = {key: scores[key] for key in keys[:cut]}
        assert decide(plan_of(pauses=(HALF,)), known) == next(r for r in rounds if any(k not in known for k in r.keys))
    assert decide(plan_of(pauses=(HALF,)), scores) == answer


def test_early_scores_come_from_the_rows_of_trials_however_far_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with hydra_ready():
        trials = Trials(examine({"schedule.epochs": "4"}, []), "choose", 2.0, (HALF,))
        setting = BY_NAME["dropout"].start
        folder = trial_folder(trials.spec((setting, 0)))
        folder.mkdir(parents=True)
        row = {"epoch": 1.0, "step": 10, "val/accuracy": 0.8, "images_per_second": 640.0}
        rows = [row, row | {"epoch": 2.0, "step": 20, "val/accuracy": 0.9}]
        write = (folder / "metrics.jsonl").write_text
        write(json.dumps(rows[0]) + "\n")
        assert trials.read([(setting, 0, HALF)]) == {}
        write("".join(json.dumps(row) + "\n" for row in rows))
        paused = trials.read([(setting, 0, HALF), (setting, 0)])
        (key,) = paused
        assert key == (setting, 0, HALF)
        assert paused[key].val == pytest.approx(90)
        batch = trials.given.o.optimizer.batch_size
        assert paused[key].cost == pytest.approx(20 * batch / 640 / 2)
        metrics = {"val/accuracy": 0.95, "test/accuracy": 0.9}
        result = {"status": "finished", "metrics": metrics, "seconds": 3.0}
        (folder / "result.json").write_text(json.dumps(result))
        ended = trials.read([key, (setting, 0)])
        assert ended[key] == paused[key]  # the same as before it had ended
        assert (ended[setting, 0].val, ended[setting, 0].early) == (pytest.approx(95), {HALF: pytest.approx(90)})
        content = trials.sweep([(setting, 0)], "Choice", 0.4, HALF)
        assert content["overrides"] == {"schedule.epochs": "4", "pause_epoch": 2}


def test_in_simulation_it_saves_trials_and_finds_the_best_about_as_often() -> None:
    b = benchmark()
    found, saved = {(): 0, (HALF,): 0}, 0.0
    for i in range(15):
        for shares in found:
            problem = b.make_problem(np.random.default_rng([5, i]))
            answer = b.choose(problem, 300, shares)
            found[shares] += problem.regret(answer.leader) <= 0.2
            saved += sum(1 - event.share for event in answer.events if event.fate == Fate.PRUNED)
            assert answer.stage in Stage
    assert saved / 15 >= 5
    assert found[HALF,] >= found[()] - 4  # two standard errors of so few problems
