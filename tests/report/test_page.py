"""The page's data: figures by hand, one whole file, nothing that could break out of it or reach outside."""

import itertools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdrop_exp.report import curves, figures, write_page
from rdrop_exp.report.commands import join
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.comparison import Comparison
from rdrop_exp.report.export import as_csv, as_json
from rdrop_exp.report.page import as_json as page_json
from rdrop_exp.report.page import build_page, payload
from rdrop_exp.report.table import as_markdown
from rdrop_exp.report.wandb import as_table, place
from tests.report.trials import EARLY, NONE, RDROP, write_trial


def comparison(root: Path) -> Comparison:
    (only,) = make_report([root]).comparisons
    return only


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
    group = comparison(tmp_path).rows[0].group
    curve = curves.over_seeds(group.trials, ["val/loss", "val/accuracy"], {"val/loss": 10.0})
    assert curve.keys() == {"val/loss"}
    # Epoch 1: 30, 50, 40: mean 40, deviation 10. Epoch 2, which two seeds reached: 10, 20: mean 15, deviation √50.
    assert curve["val/loss"]["x"] == [1.0, 2.0]
    assert curve["val/loss"]["y"] == [40.0, 15.0]
    assert curve["val/loss"]["low"] == [30.0, pytest.approx(15 - 50**0.5, abs=1e-4)]
    assert curve["val/loss"]["high"] == [50.0, pytest.approx(15 + 50**0.5, abs=1e-3)]


def test_one_seed_has_no_band(tmp_path: Path) -> None:
    write_trial(tmp_path, RDROP, 0)
    group = comparison(tmp_path).rows[0].group
    curve = curves.over_seeds(group.trials, ["val/loss"], {})["val/loss"]
    assert set(curve["low"]) == {None}
    assert len(curve["x"]) == 10


def test_long_curves_are_thinned_and_keep_their_ends(tmp_path: Path) -> None:
    for seed in range(3):
        write_trial(tmp_path, EARLY, seed, rows=150)
    group = comparison(tmp_path).rows[0].group
    curve = curves.over_seeds(group.trials, ["rate/dropout", "train/loss"], {})
    assert len(curve["train/loss"]["x"]) == curves.POINTS
    assert (curve["train/loss"]["x"][0], curve["train/loss"]["x"][-1]) == (pytest.approx(10 / 150, rel=1e-4), 10.0)
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
    charts = {chart["option"]: chart for chart in figures.trends(comparison(tmp_path))}
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
    charts = {chart["option"]: chart for chart in figures.trends(comparison(tmp_path))}
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
    (chart,), left_out = figures.pairs(comparison(tmp_path))
    assert (chart["x"], chart["y"], left_out) == ("dropout", "second_dropout", 0)
    assert chart["xs"] == chart["ys"] == ["0.1", "0.3", "0.5"]
    expected = [[100 * (0.9 + first / 100 + second / 1000) for first in rates] for second in rates]
    assert np.allclose(chart["z"], expected)
    assert chart["n"] == [[1] * 3] * 3


def test_a_matrix_says_where_nothing_was_run(tmp_path: Path) -> None:
    for rate, alpha in ((0.1, 0.5), (0.1, 1.0), (0.3, 0.5)):
        write_trial(tmp_path, RDROP | {"dropout": rate, "alpha": alpha}, 0, 0.9)
    (chart,), _ = figures.pairs(comparison(tmp_path))
    assert chart["z"] == [[90.0, 90.0], [90.0, None]]


def test_one_rate_swept_is_no_pair_with_itself(tmp_path: Path) -> None:
    for rate in (0.1, 0.3):
        write_trial(tmp_path, RDROP | {"dropout": rate}, 0, 0.9)
    sweep = comparison(tmp_path)
    assert figures.pairs(sweep) == ([], 0)
    assert [chart["option"] for chart in figures.trends(sweep)] == ["dropout"]


def test_the_page_is_whole_and_reaches_nowhere(tmp_path: Path) -> None:
    write_trial(tmp_path, RDROP, 0)
    text = write_page([tmp_path], tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"\{\{\w+\}\}", text)
    outside_plotly = text.split("plotly.js v")[0]
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", outside_plotly)
    assert "default-src 'none'" in outside_plotly
    assert "connect-src 'none'" in outside_plotly
    assert text.count("plotly.js v") == 1
    assert len(text) < 6_000_000


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    options = {"regularizer": {"name": evil}, "dataset": {"name": "{{data}}"}}
    write_trial(tmp_path, NONE, 0, experiment="a<b", result={"options": options, "group": "g", "experiment": evil})
    text = build_page(make_report([tmp_path]))
    assert evil not in text
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert data
    shown = json.loads(data[1])
    assert shown["comparisons"][0]["rows"][0]["group"] == evil
    assert shown["comparisons"][0]["setting"].startswith("{{data}} · ")


def test_everything_that_went_wrong_is_on_the_page(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0)
    write_trial(tmp_path, NONE, 1, status="failed")
    write_trial(tmp_path, NONE, 2, status="started")
    (write_trial(tmp_path, NONE, 3) / "result.json").write_text("{")
    (tmp_path / "demo" / "digits-vit-none-s4-0123456789").mkdir()
    shown = payload(make_report([tmp_path]))
    assert sorted(problem["status"] for problem in shown["problems"]) == ["damaged", "empty", "failed"]
    assert all(problem["error"] for problem in shown["problems"])
    assert shown["status"] == "1 finished, 1 running (40 %), 1 failed, 1 damaged, 1 empty"


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


def test_a_page_of_nothing_but_damage(tmp_path: Path) -> None:
    (write_trial(tmp_path, NONE, 0) / "result.json").write_text("{")
    assert "1 damaged" in build_page(make_report([tmp_path]))


def containers(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The dictionary and every filled one inside it."""
    yield values
    for inner in values.values():
        if isinstance(inner, dict) and inner:
            yield from containers(inner)


def test_no_damage_to_a_result_crashes_the_report(tmp_path: Path) -> None:
    """Any one value of result.json and config.yaml replaced by junk: everything can still be written."""
    rng = random.Random(0)
    junk: list[Any] = [None, "x", "", -1, 1e400, True, [], [1], {}, {"a": {"b": 1}}, "</script>", "`a` | b"]
    write_trial(tmp_path, NONE, 0)
    write_trial(tmp_path, RDROP, 0)
    finished, started = write_trial(tmp_path, RDROP, 1), write_trial(tmp_path, RDROP, 2, status="started")
    whole = (finished / "result.json").read_text()
    options = json.dumps(json.loads(whole)["options"])
    for _ in range(400):
        for path, text in ((finished / "result.json", whole), (started / "config.yaml", options)):
            values = json.loads(text)
            places = list(containers(values))
            at = rng.choice(places)
            groups = [key for key, value in at.items() if isinstance(value, dict)]
            at[rng.choice(groups if groups and rng.random() < 0.5 else list(at))] = rng.choice(junk)
            path.write_text(json.dumps(values))
        report = make_report([tmp_path])
        assert sum(report.counts.values()) in (3, 4)  # a junk identity may be another's
        for written in (as_csv(report), as_json(report), as_markdown(report), page_json(payload(report))):
            assert written
        for comparison_ in report.comparisons:
            assert as_table(comparison_)
        assert place(report)
