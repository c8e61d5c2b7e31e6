"""--confirm: which two groups train again, on which fresh seeds and how many; what refuses; and one for real."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from rdrop_exp.config.schema import OptionError
from rdrop_exp.report import confirm as confirmation
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.confirm import FEWEST, MOST, confirm
from rdrop_exp.report.sweep import read_sweeps
from rdrop_exp.statistics.power import seeds_needed
from tests.conftest import Command
from tests.report.trials import EARLY, NONE, RDROP, write_trial

BASE = [0.900, 0.910, 0.905, 0.902]
GAINS = [0.012, -0.004, 0.009, 0.005]


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, list[str]]]:
    """The sweeps that would have been run."""
    run: list[tuple[Path, list[str]]] = []
    monkeypatch.setattr(confirmation, "_run", lambda folder, passed: run.append((folder, passed)))
    return run


def train(root: Path, regularizer: dict[str, Any], values: list[float], first: int = 0, **options: Any) -> None:
    """Trials with the commands of real ones."""
    for seed, value in enumerate(values, first):
        words = [f"regularizer={regularizer['name']}", "++model.args={depth: 2}", f"seed={seed}", "name=demo"]
        command = shlex.join(["rdrop-exp", *words, f"output_dir={root}"])
        write_trial(root, regularizer, seed, value, result={"command": command}, **options)


def pair(root: Path, gains: list[float] = GAINS, **options: Any) -> None:
    train(root, NONE, BASE, **options)
    train(root, RDROP, [a + b for a, b in zip(BASE, gains, strict=True)], **options)


def planned(root: Path, number: int | None = None) -> dict[str, Any]:
    folder = confirm(make_report([root]), number, [])
    content: dict[str, Any] = yaml.safe_load((folder / "confirm.yaml").read_text())
    return content


def test_winner_and_baseline_train_on_seeds_that_no_trial_has(
    tmp_path: Path, runs: list[tuple[Path, list[str]]]
) -> None:
    pair(tmp_path)
    train(tmp_path, EARLY, [0.5], first=9)
    folder = confirm(make_report([tmp_path]), 12, ["hydra.launcher.per_gpu=2"])
    assert folder == tmp_path / "demo_confirm"
    assert runs == [(folder, ["hydra.launcher.per_gpu=2"])]
    content = yaml.safe_load((folder / "confirm.yaml").read_text())
    assert content == {
        "title": "Confirmation: rdrop against none",
        "baseline": "none",
        "name": "demo_confirm",
        "seeds": 12,
        "repeat": {"seed": list(range(10, 22))},
        "overrides": {"output_dir": [str(tmp_path)]},
        "grids": [
            {"overrides": {"regularizer": name, "++model.args": "{depth: 2}"}} for name in ("none", "rdrop")
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        (GAINS, None),
        ([0.010, 0.0101, 0.0099, 0.0102], FEWEST),
        ([0.010, -0.0099, 0.010, -0.0099], MOST),
    ],
    ids=["by power", "fewest", "most"],
)
def test_the_number_is_that_of_the_power_within_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gains: list[float], expected: int | None
) -> None:
    pair(tmp_path, gains)
    difference = make_report([tmp_path]).comparisons[0].rows[0].difference
    assert difference is not None
    assert difference.mean is not None
    needed = seeds_needed(difference.mean, difference.sd)
    found = planned(tmp_path)["seeds"]
    assert found == (expected or needed)
    assert str(found) in capsys.readouterr().err


def test_groups_of_one_regularizer_have_the_labels_of_the_new_report(tmp_path: Path) -> None:
    for alpha, value in ((0.1, 0.90), (0.5, 0.91), (1.0, 0.89)):
        for dropout in (0.1, 0.2):
            for seed in range(2):
                r = {"name": "rdrop", "dropout": dropout, "alpha": alpha}
                command = f"rdrop-exp regularizer=rdrop regularizer.alpha={alpha} regularizer.dropout={dropout}"
                gain = value + 0.001 * seed + 0.002 * (dropout == 0.1 and alpha == 0.5) * seed
                write_trial(tmp_path, r, seed, gain, result={"command": command})
    folder = confirm(make_report([tmp_path], "rdrop dropout=0.1 alpha=0.1"), 2, [])
    content = yaml.safe_load((folder / "confirm.yaml").read_text())
    assert content["baseline"] == "rdrop alpha=0.1"
    assert content["title"] == "Confirmation: rdrop dropout=0.1 alpha=0.5 against rdrop dropout=0.1 alpha=0.1"


def test_a_confirmation_goes_on_as_it_was_planned(tmp_path: Path, runs: list[tuple[Path, list[str]]]) -> None:
    pair(tmp_path)
    first = planned(tmp_path)
    train(tmp_path, RDROP, [0.99] * 5, first=4)  # would change winner's estimate, number and seeds
    assert planned(tmp_path) == first
    assert len(runs) == 2
    with pytest.raises(OptionError, match=rf"--confirm={first['seeds'] + 1}: .* {first['seeds']} seeds"):
        planned(tmp_path, first["seeds"] + 1)


def test_trials_of_other_options_are_no_confirmation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair(tmp_path)

    def run(folder: Path, _: list[str]) -> None:
        write_trial(tmp_path, EARLY, 20, experiment=folder.name)
        (folder / "sweep.yaml").write_text("{}")

    report = make_report([tmp_path])
    monkeypatch.setattr(confirmation, "_run", run)
    with pytest.raises(OptionError, match="other options"):
        confirm(report, 2, [])


@pytest.mark.parametrize(
    ("none", "rdrop", "match"),
    [
        ([0.9, 0.91], [0.8, 0.81], "none is best"),
        ([], [0.9, 0.91], "rdrop is best"),
        ([0.9], [0.91], "--confirm 8"),
        ([0.9, 0.91], [0.91, 0.92], "--confirm 8"),
    ],
    ids=["baseline best", "one group", "one seed", "no spread"],
)
def test_nothing_to_confirm(
    tmp_path: Path, runs: list[tuple[Path, list[str]]], none: list[float], rdrop: list[float], match: str
) -> None:
    train(tmp_path, NONE, none)
    train(tmp_path, RDROP, rdrop)
    with pytest.raises(OptionError, match=match):
        planned(tmp_path)
    assert (runs, (tmp_path / "demo_confirm").exists()) == ([], False)


def test_what_cannot_be_paired_or_repeated(tmp_path: Path) -> None:
    train(tmp_path / "a", NONE, [0.9, 0.91])
    train(tmp_path / "a", RDROP, [0.95, 0.96], first=2)
    with pytest.raises(OptionError, match="no seed in common"):
        planned(tmp_path / "a")
    for root, command in (("b", ""), ("c", "rdrop-exp -m sweep=demo")):
        for r, value in ((NONE, 0.9), (RDROP, 0.95)):
            write_trial(tmp_path / root, r, 0, value, result={"command": command})
        with pytest.raises(OptionError, match="command"):
            planned(tmp_path / root, 3)
    with pytest.raises(OptionError, match="--confirm=1 must be"):
        planned(tmp_path / "b", 1)


def test_of_several_settings_the_one_with_a_finding(tmp_path: Path) -> None:
    pair(tmp_path)
    other = {"model": {"name": "vit_tiny_patch16_224", "label": "other"}}
    pair(tmp_path, [0.003, -0.002, 0.004, 0.001], **other)
    with pytest.raises(OptionError, match=r"(vit_micro.*; .*other|other.*; .*vit_micro)"):
        planned(tmp_path)
    train(tmp_path, RDROP, [0.95] * 4, first=10, **other)
    train(tmp_path, NONE, [0.90, 0.91, 0.89, 0.90], first=10, **other)
    assert planned(tmp_path)["repeat"]["seed"][0] == 14


def test_a_confirmation_for_real(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    few = ["dataset=digits", "dataset.limit=5", "schedule.steps=20", "schedule.warmup_steps=0", "logger.wandb=disabled"]
    tiny = ["model=vit_micro_8", "model.args={patch_size: 4, embed_dim: 8, depth: 1, num_heads: 1}"]
    assert command("-m", *tiny, *few, "regularizer=none,dropout", "seed=0,1", "name=a b").returncode == 0
    trials = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/a b/*/result.json")]
    best = max(trials, key=lambda r: sum(t["metrics"]["val/accuracy"] for t in trials if t["group"] == r["group"]))
    baseline = {"none": "dropout", "dropout": "none"}[best["options"]["regularizer"]["name"]]
    words = ["outputs/a b", "--baseline", baseline, "--csv", "--confirm", "2", "--", "hydra.launcher.slots=1"]
    for _ in range(2):
        report = subprocess.run(
            [sys.executable, "-m", "rdrop_exp.report.cli", *words], cwd=tmp_path, capture_output=True, text=True
        )
        assert report.returncode == 0, report.stderr
        assert len(report.stdout.splitlines()) == 3
    folder = tmp_path / "outputs/a b_confirm"
    again = [json.loads(path.read_text()) for path in folder.glob("*/result.json")]
    assert sorted(result["options"]["seed"] for result in again) == [2, 2, 3, 3]
    assert {result["group"] for result in again} == {result["group"] for result in trials}
    (sweep,) = read_sweeps([folder])
    assert (sweep.baseline, sweep.seeds, set(sweep.planned.values())) == (baseline, 2, {2})
    done = command(*shlex.split(sweep.command)[1:], "hydra.launcher.dry_run=true")
    assert done.returncode == 0, done.stderr
    assert "4 finished" in done.stdout
