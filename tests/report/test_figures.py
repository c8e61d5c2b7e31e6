"""The figures' data: curves from metrics.jsonl, trends over options, matrices of pairs."""

import json
from pathlib import Path

import numpy as np
import pytest

from rdrop_exp.report import curves, figures
from tests.report.trials import EARLY, NONE, RDROP, only, write_trial


def rows(folder: Path, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
    return folder / "metrics.jsonl"


def test_rows_of_metrics_are_read_as_series(tmp_path: Path) -> None:
    path = rows(
        tmp_path,
        '{"epoch": 0.5, "train/loss": 2.0, "lr": 1}',
        '{"epoch": 1.0, "train/loss": 1.0, "val/loss": 1.5}',
        '{"epoch": 1.5, "train/loss": NaN}',
        '{"no_epoch": 1.5, "train/loss": 7}',
    )
    series = curves.read(path)
    assert series.keys() == {"train/loss", "val/loss"}
    assert [values.tolist() for values in series["train/loss"]] == [[0.5, 1.0], [2.0, 1.0]]


def test_broken_rows_are_passed_over(tmp_path: Path) -> None:
    path = rows(
        tmp_path, '{"epoch": 1, "val/loss": 1}', "{", "[1]", '{"epoch": 2, "val/loss": 0.5}', '{"epoch": 3, "va'
    )
    assert curves.read(path)["val/loss"][0].tolist() == [1, 2]
    assert curves.read(tmp_path / "none.jsonl") == {}


def test_long_files_keep_every_validation(tmp_path: Path) -> None:
    lines = [
        json.dumps({"epoch": i / 100, "train/loss": 1.0} | ({"val/loss": 2.0} if i % 100 == 0 else {}))
        for i in range(3001)
    ]
    series = curves.read(rows(tmp_path, *lines))
    assert len(series["val/loss"][0]) == 31
    assert 300 < len(series["train/loss"][0]) < 500
    assert series["train/loss"][0][-1] == 30.0


def test_mean_and_band_over_seeds_by_hand(tmp_path: Path) -> None:
    trials = []
    for seed, losses in enumerate(([3.0, 1.0], [5.0, 2.0], [4.0])):
        folder = write_trial(tmp_path, RDROP, seed)
        rows(folder, *(json.dumps({"epoch": 1.0 + i, "val/loss": loss}) for i, loss in enumerate(losses)))
        trials.append(folder)
    group = only(tmp_path).rows[0].group
    curve = curves.over_seeds(group.trials, ["val/loss", "val/accuracy"], {"val/loss": 10.0})
    assert curve.keys() == {"val/loss"}
    # Epoch 1: 30, 50, 40: mean 40, deviation 10. Epoch 2, which two seeds reached: 10, 20: mean 15, deviation √50.
    assert curve["val/loss"]["x"] == [1.0, 2.0]
    assert curve["val/loss"]["y"] == [40.0, 15.0]
    assert curve["val/loss"]["low"] == [30.0, pytest.approx(15 - 50**0.5, abs=1e-4)]
    assert curve["val/loss"]["high"] == [50.0, pytest.approx(15 + 50**0.5, abs=1e-3)]


def test_one_seed_has_no_band(tmp_path: Path) -> None:
    write_trial(tmp_path, RDROP, 0)
    group = only(tmp_path).rows[0].group
    curve = curves.over_seeds(group.trials, ["val/loss"], {})["val/loss"]
    assert set(curve["low"]) == {None}
    assert len(curve["x"]) == 10


def test_long_curves_are_thinned_and_keep_their_ends(tmp_path: Path) -> None:
    for seed in range(3):
        write_trial(tmp_path, EARLY, seed, rows=150)
    group = only(tmp_path).rows[0].group
    curve = curves.over_seeds(group.trials, ["rate/dropout", "train/loss"], {})
    assert len(curve["train/loss"]["x"]) == curves.POINTS
    assert curve["train/loss"]["x"][:: curves.POINTS - 1] == pytest.approx([10 / 150, 10.0], rel=1e-4)
    rate = np.array(curve["rate/dropout"]["y"])
    expected = 0.1 * np.maximum(0, 1 - np.array(curve["rate/dropout"]["x"]) / 5)
    assert np.allclose(rate, expected, atol=2e-3)


def test_trends_by_hand(tmp_path: Path) -> None:
    """At each rate the alpha that is best on validation is judged on test."""
    values = {(0.1, 0.5): (0.90, 0.99), (0.1, 1.0): (0.92, 0.91), (0.3, 0.5): (0.94, 0.93), (0.3, 1.0): (0.90, 0.80)}
    for (rate, alpha), (val, test) in values.items():
        for seed in range(3):
            write_trial(tmp_path, RDROP | {"dropout": rate, "alpha": alpha}, seed, test + seed / 100, val)
    write_trial(tmp_path, NONE, 0, 0.91)
    charts = {chart["option"]: chart for chart in figures.trends(only(tmp_path))}
    assert charts.keys() == {"dropout", "alpha"}
    assert (charts["alpha"]["numeric"], charts["alpha"]["log"], charts["alpha"]["values"]) == (
        True,
        False,
        ["0.5", "1"],
    )
    (line,) = charts["dropout"]["lines"]
    first, second = line["points"]
    assert (line["regularizer"], first["x"], second["x"]) == ("rdrop", "0.1", "0.3")
    assert (first["group"], second["group"]) == ("rdrop dropout=0.1 alpha=1", "rdrop dropout=0.3 alpha=0.5")
    assert first["seeds"] == pytest.approx([91.0, 92.0, 93.0])
    assert (first["mean"], first["low"], first["high"]) == pytest.approx(
        (92.0, 92 - 4.3027 / 3**0.5, 92 + 4.3027 / 3**0.5), abs=1e-3
    )


def test_words_have_a_category_axis_and_wide_ranges_a_logarithmic_one(tmp_path: Path) -> None:
    for sites in ("default", "all"):
        for alpha in (0.1, 1.0, 10.0):
            write_trial(
                tmp_path,
                RDROP | {"alpha": alpha, "when": "always" if sites == "all" else "early", "cutoff_epoch": 5},
                0,
            )
    charts = {chart["option"]: chart for chart in figures.trends(only(tmp_path))}
    assert (charts["alpha"]["numeric"], charts["alpha"]["log"]) == (True, True)
    assert not charts["when"]["numeric"]


def test_the_matrix_of_two_rates_falls_out(tmp_path: Path) -> None:
    """Equal rates are written as `second_dropout: null`, and stand on the diagonal."""
    rates = (0.1, 0.3, 0.5)
    for first in rates:
        for second in rates:
            write_trial(
                tmp_path, RDROP | {"dropout": first, "second_dropout": second}, 0, 0.9 + first / 100 + second / 1000
            )
    (chart,), left_out = figures.pairs(only(tmp_path))
    assert (chart["x"], chart["y"], left_out) == ("dropout", "second_dropout", 0)
    assert chart["xs"] == chart["ys"] == ["0.1", "0.3", "0.5"]
    expected = [[100 * (0.9 + first / 100 + second / 1000) for first in rates] for second in rates]
    assert np.allclose(chart["z"], expected)
    assert chart["n"] == [[1] * 3] * 3


def test_a_matrix_says_where_nothing_was_run(tmp_path: Path) -> None:
    for rate, alpha in ((0.1, 0.5), (0.1, 1.0), (0.3, 0.5)):
        write_trial(tmp_path, RDROP | {"dropout": rate, "alpha": alpha}, 0, 0.9)
    (chart,), _ = figures.pairs(only(tmp_path))
    assert chart["z"] == [[90.0, 90.0], [90.0, None]]


def test_one_rate_swept_is_no_pair_with_itself(tmp_path: Path) -> None:
    for rate in (0.1, 0.3):
        write_trial(tmp_path, RDROP | {"dropout": rate}, 0, 0.9)
    sweep = only(tmp_path)
    assert figures.pairs(sweep) == ([], 0)
    assert [chart["option"] for chart in figures.trends(sweep)] == ["dropout"]
