"""rdrop-analyze: curves and areas on constructed rows, and the command on real trials."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from rdrop_exp.analysis import cli
from rdrop_exp.analysis.area_change import Direction, area_changes
from rdrop_exp.analysis.curves import area, area_weights, read_curve
from rdrop_exp.analysis.online import make_analysis
from rdrop_exp.analysis.page import payload
from rdrop_exp.analysis.table import HEADINGS, cells, interval
from rdrop_exp.config.checks import from_dict
from rdrop_exp.report.collect import collect
from rdrop_exp.report.groups import settings
from rdrop_exp.train import checkpoint, trial
from tests.conftest import VIT, folder_of, merged
from tests.report.trials import EARLY, NONE, write_trial

LATE = {"name": "late_dropout", "dropout": 0.1, "when": "late", "cutoff_epoch": 5}


def test_area_by_hand() -> None:
    steps, values = [0, 10, 30], [1.0, 3.0, 3.0]
    assert area(steps, values, (0, 30)) == 20 + 60
    assert area(steps, values, (5, 10)) == pytest.approx(5 * (2 + 3) / 2)
    assert area(steps, values, (2, 4)) == pytest.approx(2 * 1.6)
    assert area(steps, [2.0] * 3, (3, 21)) == pytest.approx(36)
    assert area_weights(steps, (0, 30)) == [5, 15, 10]


@pytest.mark.parametrize("window", [(-1, 5), (0, 31), (5, 5), (6, 5)])
def test_an_area_outside_the_steps_is_an_error(window: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="is not within the 3 steps"):
        area_weights([0, 10, 30], window)


def with_rows(folder: Path, values: dict[int, float], *, spread: float | None = None) -> None:
    """Append analyses: `values` by step, of 100 steps in 10 epochs."""
    with (folder / "metrics.jsonl").open("a") as file:
        for step, value in values.items():
            row = {"step": step, "epoch": step / 10, "progress": step / 100}
            for name in ("direction_variance", "direction_error"):
                row[f"analysis/{name}"] = value
                if spread is not None:
                    row |= {f"analysis/{name}_low": value - spread, f"analysis/{name}_high": value + spread}
            file.write(json.dumps(row) + "\n")
        file.write('{"step": 99, "analysis/direction_er')  # cut off in the middle of a line


def constructed(root: Path, own: dict[str, Any], ratios: list[float], spread: float | None = None) -> list[Any]:
    """Changes of one group whose metrics are `ratios` (a value a seed) of those without noise, until step 50."""
    steps = range(0, 101, 20)
    for seed, ratio in enumerate(ratios):
        with_rows(write_trial(root, NONE, seed), dict.fromkeys(steps, 0.4), spread=spread)
        with_rows(write_trial(root, own, seed), {s: 0.4 * (ratio if s <= 60 else 3.0) for s in steps}, spread=spread)
    (setting,) = settings(collect([root])[0])
    return area_changes(setting)


def test_lower_before_the_cutoff(tmp_path: Path) -> None:
    variance, error = constructed(tmp_path, EARLY, [0.90, 0.92, 0.91])
    assert (variance.metric, error.metric) == ("direction_variance", "direction_error")
    assert variance.window == (0, 50)
    assert variance.relative == pytest.approx(-0.09)
    assert variance.direction == "lower"
    text = str(variance)
    for part in (
        "early_dropout",
        "steps 0 to 50",
        "direction variance −9.0% [−11.5%, −6.5%]",
        "3 paired seeds",
        "lower",
    ):
        assert part in text


def test_from_the_cutoff_on_and_over_all_steps(tmp_path: Path) -> None:
    late, _ = constructed(tmp_path / "late", LATE, [0.9, 0.92, 0.91])
    assert late.window == (50, 100)
    assert late.direction == "higher"
    always, _ = constructed(tmp_path / "all", {"name": "dropout", "dropout": 0.1}, [0.9, 0.92])
    assert always.window == (0, 100)
    assert "over steps 0 to 100" in str(always)


def test_seeds_that_disagree_are_inconclusive(tmp_path: Path) -> None:
    variance, _ = constructed(tmp_path, EARLY, [0.8, 1.1, 0.9])
    assert variance.direction == Direction.INCONCLUSIVE
    assert "inconclusive" in str(variance)


def test_one_seed_has_an_interval_over_batches(tmp_path: Path) -> None:
    (narrow, _), (wide, _) = (constructed(tmp_path / str(s), EARLY, [0.9], spread=s) for s in (0.02, 0.2))
    assert narrow.interval is not None
    assert (narrow.direction, wide.direction) == ("lower", Direction.INCONCLUSIVE)
    weights = [w / 50 for w in area_weights(range(0, 101, 20), (0, 50))]
    size = math.hypot(*weights) * 0.02 / 0.4
    assert narrow.interval[1] - narrow.relative == pytest.approx(math.hypot(size, 0.9 * size))
    assert "one pair of trials" in str(narrow)
    (without, _) = constructed(tmp_path / "none", EARLY, [0.9])
    assert without.interval is None
    assert without.direction == Direction.INCONCLUSIVE


def test_trials_of_other_seeds_are_not_compared(tmp_path: Path) -> None:
    with_rows(write_trial(tmp_path, NONE, 0), {0: 1.0, 100: 1.0})
    with_rows(write_trial(tmp_path, EARLY, 1), {0: 1.0, 100: 1.0})
    write_trial(tmp_path, EARLY, 0)  # without analyses
    (setting,) = settings(collect([tmp_path])[0])
    assert area_changes(setting) == []


def test_lines_of_several_seeds_are_means_with_deviations(tmp_path: Path) -> None:
    for seed, value in enumerate((0.2, 0.4)):
        with_rows(write_trial(tmp_path, NONE, seed), {0: value, 50: value, 100 + seed: 1.0}, spread=0.1)
    with_rows(write_trial(tmp_path, EARLY, 0), {0: 0.5}, spread=0.1)
    found = payload(settings(collect([tmp_path])[0]))
    assert found["lines"] == [
        {"label": "early_dropout", "seeds": 1, "baseline": False, "number": 0},
        {"label": "none", "seeds": 2, "baseline": True, "number": 1},
    ]
    (alone, two) = found["figures"][0]["lines"]
    assert alone == {"line": 0, "x": [0], "y": [0.5], "low": [0.4], "high": [0.6]}
    assert (two["x"], two["y"]) == ([0, 50], [0.3, 0.3])
    assert two["low"] == pytest.approx([0.3 - math.sqrt(0.02)] * 2, rel=1e-4)


def test_cells_and_intervals_are_plain_text() -> None:
    assert interval({"value": 0.3142, "low": -0.1, "high": 0.5}) == "0.314 [−0.1, 0.5]"
    assert interval({"value": 2.0, "low": None, "high": None}) == "2"
    row = cells({"trial": "t", "step": 3, "epoch": 1.0})
    assert row == ("t", "3", *[""] * (len(HEADINGS) - 2))


# -- the command -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four short trials, analysed as they trained: without noise and with early dropout, two seeds."""
    root = tmp_path_factory.mktemp("outputs")
    early = {"name": "early_dropout", "dropout": 0.3, "when": "early", "cutoff_epoch": 1}
    for seed in (0, 1):
        for regularizer in (NONE, early):
            values = {"regularizer": regularizer, "seed": seed, "output_dir": str(root), "name": "demo"}
            assert (
                trial.run(
                    from_dict(merged(VIT, values, {"analysis": {"every": 5, "batches": 4}})),
                    make_analysis=make_analysis,
                )
                is not None
            )
    return root / "demo"


def test_analyze(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(trained), "--batches", "4", "--passes", "3", "--set", "test"]) == 0
    said = capsys.readouterr()
    for word in ("direction variance", "KL noisy-clean", "ECE MC"):
        assert word in said.out
    assert "early_dropout, before its cutoff (steps 0 to 10): direction error " in said.out
    assert said.err.count("\n") == 4
    folders = [path for path in trained.iterdir() if path.is_dir()]
    found = [json.loads((folder / "analysis.json").read_text()) for folder in folders]
    for folder, one in zip(folders, found, strict=True):
        result = json.loads((folder / "result.json").read_text())
        assert one["step"] == result["best_epoch"] * 10
        assert one["settings"] == {"batches": 4, "batch_size": None, "augment": True, "loss": "full", "share": None}
        assert one["batch_size"] == 128
        i = one["inconsistency"]
        assert (i["passes"], i["set"], i["rates"]["dropout"]) == (3, "test", 0.3 if "early" in one["trial"] else 0.1)
        assert i["accuracy"] == pytest.approx(result["metrics"]["test/accuracy"])
        assert one["distance"] > 0
        assert one["gradient"]["direction_error"]["low"] < one["gradient"]["direction_error"]["high"]
    page = (trained / "analysis.html").read_text()
    assert "Gradient direction error" in page
    assert "early_dropout, before its cutoff" in page
    assert "http-equiv" in page
    assert "{{" not in page.replace(page[page.index("<script>") :], "")


class Crash(BaseException):
    """Not caught by anything."""


def test_a_stopped_trial_is_measured_as_while_it_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = {"analysis": {"every": 5, "batches": 4}, "checkpoint_seconds": 0, "regularizer": {"dropout": 0.2}}
    o = from_dict(merged(VIT, watched, {"output_dir": str(tmp_path)}))
    save, saves = checkpoint.save, 0

    def counted(folder: Path, state: dict[str, Any]) -> None:
        nonlocal saves
        save(folder, state)
        saves += 1
        if saves == 10:
            raise Crash

    monkeypatch.setattr(checkpoint, "save", counted)
    with pytest.raises(Crash):
        trial.run(o, make_analysis=make_analysis)
    folder = folder_of(o)
    assert cli.main([str(folder), "--batches", "4", "--passes", "5", "--no-page"]) == 0
    found = json.loads((folder / "analysis.json").read_text())
    trial.run(o, make_analysis=make_analysis)
    curve = read_curve(collect([folder])[0][0])
    assert curve is not None
    assert (curve.steps, curve.per_epoch, curve.total) == ([0, 5, 10, 15], 10, 20)
    assert found["step"] == 10
    logged = {name: values[2] for name, values in curve.values.items()}
    assert found["distance"] == logged["model_distance"]
    assert found["gradient"]["direction_error"]["value"] == logged["direction_error"]
    assert found["gradient"]["direction_variance"]["high"] == logged["direction_variance_high"]
    assert found["inconsistency"]["ece_mc"] == logged["ece_mc"]


def test_other_settings_change_what_is_measured(trained: Path, tmp_path: Path) -> None:
    folder = next(path for path in trained.iterdir() if path.is_dir() and "early_dropout" in path.name)
    measured = []
    for words in ([], ["--share", "1"], ["--dropout", "0.5", "--no-gradients"], ["--loss", "task", "--passes", "0"]):
        assert cli.main([str(folder), "--batches", "2", "--no-page", "--threads", "1", *words]) == 0
        measured.append(json.loads((folder / "analysis.json").read_text()))
    plain, noisy, strong, task = measured
    assert noisy["share"] == 1 > plain["share"]
    assert noisy["gradient"]["direction_error"] != plain["gradient"]["direction_error"]
    assert noisy["gradient"]["full_norm"] == plain["gradient"]["full_norm"]
    assert strong["inconsistency"]["inconsistency"]["value"] > plain["inconsistency"]["inconsistency"]["value"]
    assert "gradient" not in strong
    assert "inconsistency" not in task
    assert task["settings"]["loss"] == "task"


def test_curves_measure_nothing(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.autograd, "grad", None)
    page = tmp_path / "page.html"
    assert cli.main([str(trained), "--curves", "--page", str(page)]) == 0
    assert "direction variance" in page.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere", "nowhere"),
        ("empty", "empty"),
        ("bare", "keep_weights=true"),
        ("bare --batches 1", "--batches=1 must be at least 2"),
        ("bare --passes 1", "--passes=1 must be 0 or at least 2"),
        ("bare --share 2", "--share=2 must be between 0 and 1"),
        ("bare --dropout 0", "--dropout=0 must be between 0 and 1"),
    ],
)
def test_user_errors_are_one_sentence(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    o = from_dict(merged(VIT, {"output_dir": str(tmp_path)}))
    folder = write_trial(tmp_path, NONE, 0, experiment="x")
    folder.rename(tmp_path / "bare")
    assert folder_of(o).parent.parent == tmp_path
    assert cli.main(words.split()) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("rdrop-analyze: ")
    assert message in last
