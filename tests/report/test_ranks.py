"""The ranking over several settings, in every form of the report."""

import json
from pathlib import Path

import pytest

from rdrop_exp.report.cli import main
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.ranking import SettingRanking, payload, ranking, sentences
from tests.report.chromium import Chromium
from tests.report.trials import EARLY, NONE, RDROP, write, write_trial

# By hand: ranks of rdrop, early, none by setting: 1 2 3, 1 2 3, 1 2.5 2.5, 2 1 3; their means 1.25, 1.875, 2.875.
MEANS = {"a": (0.93, 0.92, 0.90), "b": (0.83, 0.81, 0.80), "c": (0.73, 0.70, 0.70), "d": (0.62, 0.63, 0.60)}


def write_settings(root: Path) -> None:
    for data, means in MEANS.items():
        for regularizer, mean in zip((RDROP, EARLY, NONE), means, strict=True):
            write(root, regularizer, [mean - 0.01, mean + 0.01], dataset={"name": data})


def ranked(root: Path, metric: str = "") -> SettingRanking:
    found = ranking(make_report([root], metric=metric))
    assert found is not None
    return found


def test_average_ranks_and_wins(tmp_path: Path) -> None:
    write_settings(tmp_path)
    found = ranked(tmp_path)
    assert found.groups == ["rdrop", "early_dropout", "none"]
    assert found.result.ranks == [1.25, 1.875, 2.875]
    assert found.result.wins == [[0, 3, 4], [1, 0, 3.5], [0, 0.5, 0]]
    # χ² = 12 · 4 / (3 · 4) · Σ (R − 2)² = 4 · (0.5625 + 0.015625 + 0.765625) = 5.375; ties: / (1 − 6 / 96) = 5.7333
    assert found.result.p == pytest.approx(0.0569, abs=1e-4)  # exp(−5.7333 / 2)
    assert found.result.critical_difference == pytest.approx(2.343 * (3 * 4 / 24) ** 0.5, abs=1e-3)
    assert not found.significant
    assert "1.66" not in " ".join(sentences(found))  # no critical difference where there is nothing to find
    assert ranked(tmp_path, "loss").groups == found.groups  # lower is better


def test_a_significant_ranking_names_the_critical_difference(tmp_path: Path) -> None:
    for data in "abcdefgh":
        for place, regularizer in enumerate((RDROP, EARLY, NONE)):
            write_trial(tmp_path, regularizer, 0, 0.9 - 0.1 * place, dataset={"name": data})
    found = ranked(tmp_path)
    assert found.significant
    assert "1.17" in sentences(found)[1]
    assert found.result.critical_difference == pytest.approx(2.343 * (12 / 48) ** 0.5, abs=1e-3)


def test_what_is_left_out(tmp_path: Path) -> None:
    write_settings(tmp_path)
    write(tmp_path, RDROP, [0.9, 0.8], dataset={"name": "lonely"})
    write_trial(tmp_path, NONE, 0, dataset={"name": "lonely"}, status="failed")
    found = ranked(tmp_path)
    assert found.left_out == ["lonely · vit_micro"]
    assert len(found.settings) == 4
    assert "lonely · vit_micro" in sentences(found)[-1]


@pytest.mark.parametrize(("settings", "groups"), [("ab", (RDROP, EARLY, NONE)), ("abc", (RDROP, NONE))])
def test_two_are_no_ranking(tmp_path: Path, settings: str, groups: tuple[dict[str, object], ...]) -> None:
    for data in settings:
        for regularizer in groups:
            write_trial(tmp_path, regularizer, 0, dataset={"name": data})
    report = make_report([tmp_path])
    assert ranking(report) is None
    assert payload(report) is None


@pytest.mark.parametrize("form", [["--no-page"], ["--markdown"]])
def test_printed(tmp_path: Path, form: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_settings(tmp_path)
    assert main([str(tmp_path), *form]) == 0
    text = capsys.readouterr().out.replace("`", "")
    assert "rdrop 1.25, early_dropout 1.88, none 2.88" in text.replace("\n", " ")
    assert "p = 0.057" in text
    if form == ["--markdown"]:
        assert "| 2 | early_dropout | 1.88 | 1 |  | 3.5 |" in text


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_settings(tmp_path)
    assert main([str(tmp_path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)["ranking"]
    assert values["groups"] == ["rdrop", "early_dropout", "none"]
    assert values["average_ranks"] == [1.25, 1.875, 2.875]
    assert values["wins"][0] == [0, 3, 4]
    assert values["settings"] == [f"{data} · vit_micro" for data in "abcd"]


def test_on_the_page(browser: Chromium, tmp_path: Path) -> None:
    write_settings(tmp_path)
    assert main([str(tmp_path)]) == 0
    browser.open((tmp_path / "report.html").as_uri())
    browser.until("document.querySelectorAll('#ranking .plot .main-svg').length >= 2")
    plots = "[...document.querySelectorAll('#ranking .plot')]"
    assert browser.evaluate(f"{plots}[0].data[0].x") == [1.25, 1.875, 2.875]
    assert browser.evaluate(f"{plots}[1].data[0].z") == [[None, 3, 4], [1, None, 3.5], [0, 0.5, None]]
    assert "p = 0.057" in browser.evaluate("document.querySelector('#ranking .lead').textContent")
    assert browser.evaluate(f"{plots}.map((p) => p.getAttribute('aria-label'))")[0].startswith("average rank. rdrop: ")
    assert browser.errors == []
