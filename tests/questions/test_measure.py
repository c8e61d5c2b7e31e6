"""Measures of a trial: names, directions, values in windows, and what damaged rows leave."""

import json
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.config.schema import OptionError
from rdrop_exp.questions.measure import MEASURES, Measure, lacking, parse_measure, value

METRICS = {"test/accuracy": 0.93, "train/loss": 0.4, "val/loss": float("nan"), "test/loss": "high"}
ROWS: list[Any] = [
    {"progress": 0.1, "epoch": 1, "train/loss": 2.0, "val/loss": 0.9, "analysis/direction_error": 0.5},
    {"progress": 0.2, "epoch": 2, "train/loss": 1.0, "val/loss": 0.3},
    {"progress": 0.5, "epoch": 5, "train/loss": "nan", "val/loss": None, "analysis/direction_error": 0.1},
    {"progress": 1.0, "epoch": 10, "train/loss": 0.5, "val/loss": 0.7, "train/accuracy": 0.5},
    ["no row"],
    {"epoch": "late", "val/loss": 0.1},
]


def read(folder: Path, name: str, at: tuple[float, float] | None = None) -> float | None:
    lines = [json.dumps(row) for row in ROWS]
    (folder / "metrics.jsonl").write_text("\n".join([*lines[:2], '{"progress": 0.3, "tra', *lines[2:]]))
    return value(parse_measure(name, "on"), METRICS, 7.0, folder, at)


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        ("test/accuracy", None, 93.0),
        ("train/loss", None, 0.4),
        ("train/loss", (0.0, 0.2), 1.5),
        ("train/loss", (0.1, 0.2), 1.0),
        ("train/loss", (0.0, 1.0), 3.5 / 3),
        ("train/accuracy", (0.5, 1.0), 50.0),
        ("val/loss", (0.6, 1.0), 0.7),
        ("analysis/direction_error", None, 0.3),
        ("best_epoch", None, 7.0),
        ("overfit_epoch", None, 2.0),
        ("val/loss", None, None),
        ("test/loss", None, None),
        ("train/loss", (0.3, 0.4), None),
        ("grad_norm", None, None),
    ],
)
def test_values(tmp_path: Path, name: str, at: tuple[float, float] | None, expected: float | None) -> None:
    assert read(tmp_path, name, at) == (expected if expected is None else pytest.approx(expected))


def test_a_trial_without_rows(tmp_path: Path) -> None:
    assert value(Measure("overfit_epoch"), {}, None, tmp_path) is None
    assert value(Measure("best_epoch"), {}, None, tmp_path) is None


@pytest.mark.parametrize(
    ("name", "sign", "unit"),
    [("test/accuracy", 1, "points"), ("val/loss", -1, ""), ("train/cross_entropy", -1, ""),
     ("train/consistency", 0, ""), ("overfit_epoch", 0, "epochs"), ("grad_norm", 0, ""),
     ("analysis/direction_error", 0, "")],
)  # fmt: skip
def test_direction_and_unit(name: str, sign: int, unit: str) -> None:
    assert (Measure(name).sign, Measure(name).unit) == (sign, unit)


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(OptionError, match=r"on=train/los is not a measure.*train/loss"):
        parse_measure("train/los", "on")


@pytest.mark.parametrize(
    ("name", "options", "option"),
    [
        ("analysis/ece", [{"analysis": {"every": None}}], "analysis.every"),
        ("analysis/ece", [{}, {"analysis": {"every": 50}}], ""),
        ("grad_norm", [{"optimizer": {"clip": 0.0}}], "optimizer.clip"),
        ("test/loss", [{}], ""),
    ],
)
def test_options_that_a_measure_needs(name: str, options: list[dict[str, Any]], option: str) -> None:
    assert lacking(Measure(name), options) == option


def test_measures_are_those_that_trials_and_analyses_write() -> None:
    from rdrop_exp.analysis.gradient_meter import MeterReading, MeterSettings
    from rdrop_exp.analysis.gradients import Estimate, GradientMetrics
    from rdrop_exp.analysis.inconsistency import Inconsistency
    from rdrop_exp.analysis.online import as_row

    one = Estimate(1.0)
    gradient = GradientMetrics(
        batches=2, norm=one, direction_variance=one, direction_error=one, squared_bias=1, variance=1, full_norm=1
    )
    reading = MeterReading(
        step=0, settings=MeterSettings(batches=2), batch_size=8, rate_scale=1, consistency=False, gradient=gradient,
        distance=1, relative_distance=1, seconds=1,
    )  # fmt: skip
    inconsistency = Inconsistency(
        items=1, passes=2, divergence=one, inconsistency=one, accuracy=1, accuracy_mc=1, gain=one, ece=1, ece_mc=1
    )
    analyses = {*reading.row(), *as_row(inconsistency)} - {"analysis/rate_scale", "analysis/seconds"}
    assert analyses == {name for name in MEASURES if name.startswith("analysis/")}
