"""What rdrop-analyze shows: the table by group, and the page's lines, also in a real browser."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.analysis.page import build_page, payload
from rdrop_exp.analysis.table import HEADINGS, cells, table_rows
from rdrop_exp.report.collect import collect
from rdrop_exp.report.groups import settings
from rdrop_exp.report.pictures import find_chrome
from tests.analysis.helpers import append_analyses
from tests.report.chromium import Chromium
from tests.report.trials import EARLY, NONE, write_trial

BINARY = find_chrome()


def estimate(value: float, low: float | None = None, high: float | None = None) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high}


def test_cells_of_one_seed_have_intervals() -> None:
    gradient = {"norm": estimate(0.3142, -0.1, 0.5), "direction_variance": estimate(2.0), "squared_bias": -0.25}
    row = dict(zip(HEADINGS, cells("none", [{"step": 3, "share": 1.0, "gradient": gradient}]), strict=True))
    shown = {"group": "none", "seeds": "1", "step": "3", "noise": "1.00", "grad norm": "0.314 [−0.1, 0.5]"}
    shown |= {"direction variance": "2", "bias²": "−0.25"}
    assert {name: cell for name, cell in row.items() if cell} == shown


def test_cells_of_several_seeds_are_means_with_deviations() -> None:
    contents = [
        {"step": step, "inconsistency": {"accuracy": accuracy, "gain": estimate(gain, 0.0, 1.0)}}
        for step, accuracy, gain in ((10, 0.90, 0.01), (20, 0.92, 0.03))
    ]
    row = dict(zip(HEADINGS, cells("rdrop", contents), strict=True))
    shown = {"group": "rdrop", "seeds": "2", "step": "10–20", "accuracy": "91.00% ± 1.41%", "MC gain": "+2.00% ± 1.41%"}
    assert {name: cell for name, cell in row.items() if cell} == shown


def test_rows_are_groups_by_the_names_of_the_report(tmp_path: Path) -> None:
    for seed in (0, 1):
        for regularizer in (NONE, EARLY, EARLY | {"dropout": 0.2}):
            write_trial(tmp_path, regularizer, seed)
    trials = collect([tmp_path])[0]
    measured = {trial.identity: {"step": 5} for trial in trials if "p0.2" not in trial.folder.name or trial.seed == 0}
    rows = table_rows(settings(trials), measured)
    assert [row[:3] for row in rows] == [
        ("early_dropout dropout=0.1", "2", "5"),
        ("early_dropout dropout=0.2", "1", "5"),
        ("none", "2", "5"),
    ]
    write_trial(tmp_path, NONE, 0, model={"name": "vit_other", "label": "other"})
    trials = collect([tmp_path])[0]
    names = [row[0] for row in table_rows(settings(trials), {trial.identity: {"step": 5} for trial in trials})]
    assert names[0] == "digits · other: none"
    assert names[-1] == "digits · vit_micro: none"


def test_lines_of_several_seeds_are_means_with_deviations(tmp_path: Path) -> None:
    for seed, value in enumerate((0.2, 0.4)):
        append_analyses(write_trial(tmp_path, NONE, seed), {0: value, 50: value, 100 + seed: 1.0}, half_width=0.1)
    append_analyses(write_trial(tmp_path, EARLY, 0), {0: 0.5}, half_width=0.1)
    page = payload(settings(collect([tmp_path])[0]))
    assert page["lines"] == [
        {"label": "early_dropout", "seeds": 1, "baseline": False, "number": 0},
        {"label": "none", "seeds": 2, "baseline": True, "number": 1},
    ]
    (alone, two) = page["figures"][0]["lines"]
    assert alone == {"line": 0, "x": [0], "y": [0.5], "low": [0.4], "high": [0.6]}
    assert (two["x"], two["y"]) == ([0, 50], [0.3, 0.3])
    assert two["low"] == pytest.approx([0.3 - math.sqrt(0.02)] * 2, rel=1e-4)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    assert BINARY is not None
    with Chromium(BINARY, tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


@pytest.mark.skipif(BINARY is None, reason="no Chromium or Chrome found: apt-get install chromium")
def test_the_page_draws_every_figure(browser: Chromium, tmp_path: Path) -> None:
    for seed, value in enumerate((0.2, 0.4)):
        append_analyses(write_trial(tmp_path, NONE, seed), {0: value, 50: 2 * value}, half_width=0.1)
    append_analyses(write_trial(tmp_path, EARLY, 0), {0: 0.5, 50: 0.3})
    by_setting = settings(collect([tmp_path])[0])
    path = tmp_path / "page.html"
    path.write_text(build_page(by_setting, ["1 < 2"], [cells("a <b> & c", [{"step": 7}])]), encoding="utf-8")
    browser.open(path.as_uri())
    browser.until("document.querySelectorAll('.plot .main-svg').length >= 2")

    def texts(selector: str) -> Any:
        return browser.evaluate(f"[...document.querySelectorAll('{selector}')].map((e) => e.textContent)")

    assert texts("figcaption") == ["Gradient direction variance", "Gradient direction error"]
    assert texts(".legend li") == ["early_dropout", "none (2 seeds)"]
    assert texts("td")[:3] == ["a <b> & c", "1", "7"]
    assert "1 < 2" in texts("main p")
    drawn = "[...document.querySelectorAll('.plot')].map((p) => p.data.map((trace) => [trace.mode, trace.y.length]))"
    line, mean, band = ["lines", 2], ["lines", 2], ["lines", 4]
    assert browser.evaluate(drawn) == [[line, band, mean]] * 2
    assert browser.errors == []
    assert browser.requests == [path.as_uri()]
