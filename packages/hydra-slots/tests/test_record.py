"""sweep.yaml: what a sweep stated, and how many seeds each group was planned with at its first launch."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hydra_slots import PlannedTrial, record
from hydra_slots.record import read, write_sweep
from hydra_slots.sweep_plan import Job, SweepPlan
from tests.foreign import App

DRY = "hydra.launcher.dry_run=true"
SWEEP = """
title: T
seeds: 3
smallest: 1.0e-05
expects: [{better: '2', than: '1', on: test/accuracy}]
grids: [{overrides: {x: [1, 2]}}]
scales:
  cpu:
  gpu: {seeds: 4, smallest: 2}
"""
HOOK = """
def check(texts, trials):
    if texts.get("smallest") == 2:
        raise ValueError("smallest: 2 is too much")
    seeds = {group: sum(t.group == group for t in trials) for group in {t.group for t in trials}}
    return [f"{len(trials)} trials, {sorted(seeds.values())}, {texts.get('seeds')} planned, {texts.get('scale')}"]
"""


@pytest.fixture
def app(tmp_path: Path) -> App:
    app = App(tmp_path, "return cfg.x")
    app.sweep("demo", SWEEP)
    return app


def planned(app: App, folder: str = "out") -> Counter[Any]:
    """Groups by the planned number of seeds."""
    return Counter(read(app.folder / folder / "sweep.yaml").get("planned", {}).values())


def plan_of(folder: Path, seeds: dict[str, int]) -> SweepPlan:
    """A plan with so many trials of each group in a folder."""
    groups = [group for group, number in seeds.items() for _ in range(number)]
    return SweepPlan([Job(i, [], "", PlannedTrial("", str(folder / str(i)), "", g)) for i, g in enumerate(groups)])


def test_the_file_holds_what_the_sweep_stated_and_a_narrower_launch_keeps_its_plan(app: App) -> None:
    assert app.run("hydra.sweeper.sweep=demo", "seed=0,1", "x=2").code == 0
    kept = read(app.folder / "out" / "sweep.yaml")
    assert planned(app) == {3: 1}
    del kept["planned"]
    line = {"better": "2", "than": "1", "on": "test/accuracy"}
    given = {"title": "T", "seeds": 3, "smallest": 1e-05, "expects": [line], "scale": "cpu"}
    assert kept == {"sweep": "demo", "arguments": ["seed=0,1", "x=2"], **given}
    assert app.run("hydra.sweeper.sweep=demo", "hydra.sweeper.scale=gpu").code == 0
    assert planned(app) == {3: 1, 4: 1}
    assert read(app.folder / "out" / "sweep.yaml")["scale"] == "gpu"
    assert len(app.values()) == 8


@pytest.mark.parametrize("launcher", ["slots", "basic", "joblib"])
def test_a_plain_sweep_leaves_its_plan_and_nothing_else(app: App, launcher: str) -> None:
    words = [] if launcher == "slots" else [f"hydra/launcher={launcher}"]
    assert app.run("x=1,2", "seed=0,1", *words).code == 0
    assert planned(app) == {2: 2}
    assert list(read(app.folder / "out" / "sweep.yaml")) == ["planned"]
    assert app.run("x=2,3", "seed=range(5)", *words).code == 0
    assert planned(app) == {2: 2, 5: 1}


def test_a_dry_run_plans_nothing(app: App) -> None:
    assert app.run("hydra.sweeper.sweep=demo", DRY).code == 0
    assert not (app.folder / "out").exists()
    assert app.run("hydra.sweeper.sweep=demo", "seed=0,1", "x=1").code == 0
    before = (app.folder / "out" / "sweep.yaml").read_text()
    assert app.run("x=1,2,3", "seed=0,1", DRY).code == 0
    assert (app.folder / "out" / "sweep.yaml").read_text() == before


def test_a_plain_sweep_into_the_folder_of_a_named_one_keeps_what_that_stated(tmp_path: Path) -> None:
    write_sweep(plan_of(tmp_path, {"a": 2}), {"sweep": "demo", "title": "T", "seeds": 8})
    write_sweep(plan_of(tmp_path, {"a": 3, "b": 3}), {})
    assert read(tmp_path / "sweep.yaml") == {
        "sweep": "demo",
        "title": "T",
        "seeds": 8,
        "planned": {"a": 8, "b": 3},
    }


def test_group_names_that_look_like_numbers_stay_text_for_every_reader(tmp_path: Path) -> None:
    import yaml

    groups = {"1234567890": 2, "123456e789": 3, "0012345670": 4}
    write_sweep(plan_of(tmp_path, groups), {})
    assert read(tmp_path / "sweep.yaml") == {"planned": groups}
    assert yaml.safe_load((tmp_path / "sweep.yaml").read_text()) == {"planned": groups}


def test_trials_without_groups_leave_no_plan(tmp_path: Path) -> None:
    write_sweep(plan_of(tmp_path, {"": 3}), {})
    assert not (tmp_path / "sweep.yaml").exists()


@pytest.mark.parametrize("text", ["{", "- a", "", "planned: 3", "planned: {a: b}", "\0"])
def test_a_damaged_file_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "sweep.yaml").write_text(text)
    write_sweep(plan_of(tmp_path, {"a": 2}), {"sweep": "demo"})
    assert read(tmp_path / "sweep.yaml") == {"sweep": "demo", "planned": {"a": 2}}


def test_the_file_of_another_program_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sweep.yaml").write_text("method: grid  # for W&B\n")
    write_sweep(plan_of(tmp_path, {"a": 2}), {"sweep": "demo"})
    assert (tmp_path / "sweep.yaml").read_text() == "method: grid  # for W&B\n"
    assert "sweep.yaml" in capsys.readouterr().out


def test_sweeps_that_start_at_once_in_one_folder_keep_each_others_plans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier = threading.Barrier(4, timeout=60)
    acquire = record.alone
    monkeypatch.setattr(record, "alone", lambda folder: (barrier.wait(), acquire(folder))[1])
    plans = [plan_of(tmp_path, {f"{i}{j}": 2 for j in range(50)}) for i in range(4)]
    threads = [threading.Thread(target=write_sweep, args=(plan, {})) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(tmp_path / "sweep.yaml")["planned"]) == 200


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("a file")
    write_sweep(plan_of(tmp_path / "out", {"a": 2}), {})
    assert "Warning: " in capsys.readouterr().out


@pytest.mark.parametrize("words", [(), ("hydra/launcher=basic", "seed=0,1,2")])
def test_what_the_application_says_of_all_trials_is_part_of_the_plan(tmp_path: Path, words: tuple[str, ...]) -> None:
    hook = f"says_{tmp_path.name}"
    app = App(tmp_path, "return cfg.x", sweeper={"check": f"{hook}:check"})
    (tmp_path / f"{hook}.py").write_text(HOOK)
    app.sweep("demo", SWEEP)
    done = app.run("hydra.sweeper.sweep=demo", *(words or [DRY]))
    assert done.code == 0
    title, sizes, said = done.out.splitlines()[:3]
    assert title == "demo (cpu): T"
    assert sizes.startswith("6 trials (2 groups × 3 seeds)")
    assert said == "6 trials, [3, 3], 3 planned, cpu"
    done = app.run("hydra.sweeper.sweep=demo", "hydra.sweeper.scale=gpu", "hydra.sweep.dir=none")
    assert done.code == 1
    assert done.err.startswith("smallest: 2 is too much")
    assert not (tmp_path / "none").exists()
    assert "2 trials, [1, 1], None planned, None" in app.run("x=1,2", DRY).out


def test_a_scale_without_a_named_sweep_is_refused(app: App) -> None:
    done = app.run("x=1,2", "hydra.sweeper.scale=gpu")
    assert done.code == 1
    assert done.err.startswith("hydra.sweeper.scale=gpu needs a named sweep")


def test_a_sweep_of_a_sub_folder_is_an_experiment_in_a_sub_folder(tmp_path: Path) -> None:
    app = App(tmp_path, "return cfg.x", sweeper={"name_key": "x", "folder": "own"})
    (tmp_path / "own" / "claims").mkdir(parents=True)
    (tmp_path / "own" / "claims" / "alpha.yaml").write_text("seeds: 2")
    assert app.run("hydra.sweeper.sweep=claims/alpha", "hydra.sweep.dir=out/${x}").code == 0
    assert app.values("out/claims/alpha") == ["claims/alpha"] * 2
    assert read(tmp_path / "out" / "claims" / "alpha" / "sweep.yaml")["sweep"] == "claims/alpha"
