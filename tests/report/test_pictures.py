"""The figures of the page as files, drawn by a real Chrome, and what is said where there is none."""

import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest

import rdrop_exp.report.pictures as pictures
from rdrop_exp.report.cli import main
from tests.report.trials import EARLY, NONE, RDROP, write

needs_chrome = pytest.mark.skipif(pictures.find_chrome() is None, reason="no Chromium or Chrome")
NAMES = {
    "effects", "options-test-accuracy-over-alpha-outliers-beyond-the-axis", "curves-accuracy", "curves-cross-entropy",
    "schedules-dropout", "parallel", "cost",
}  # fmt: skip
RANKING = {"ranking-average-rank", "ranking-wins-in-3-settings-row-over-column-a-tie-counts-half"}


@needs_chrome
def test_every_figure_of_every_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials, folder = tmp_path / "trials", tmp_path / "new" / "figures"
    for data in ("svhn", "digits", "<b>&"):
        for group, values in (
            (NONE, [0.92, 0.93]),
            (EARLY, [0.925, 0.935]),
            (RDROP, [0.92, 0.95]),
            (RDROP | {"alpha": 1.0}, [0.915, 0.945]),
        ):
            write(trials, group, values, dataset={"name": data})
    assert main([str(trials), "--no-page", "--figures", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Figures: {folder} (46 files)"
    files = sorted(path.name for path in folder.iterdir())
    places = {f"{data}-vit_micro-{name}" for data in ("svhn", "digits", "b") for name in NAMES}
    assert files == sorted(f"{name}.{form}" for name in places | RANKING for form in ("svg", "png"))
    curves = ElementTree.fromstring((folder / "digits-vit_micro-curves-accuracy.svg").read_text())
    text = "".join(curves.itertext())
    assert all(word in text for word in ("accuracy, %", "epoch", "rdrop alpha=0.5", "none (baseline)"))  # title, legend
    png = (folder / "digits-vit_micro-curves-accuracy.png").read_bytes()
    width, height = struct.unpack(">II", png[16:24])
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert (width, height) == (3 * int(curves.attrib["width"]), 3 * int(curves.attrib["height"]))


def test_without_a_chrome(example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pictures, "find_chrome", lambda: None)
    assert main([str(example), "--no-page", "--figures", str(example / "figures")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--figures" in error
    assert "CHROMIUM" in error
    assert not (example / "figures").exists()


def test_a_chrome_that_draws_nothing(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHROMIUM", "/bin/true")
    assert main([str(example), "--no-page", "--figures", str(example / "figures")]) == 2
    assert "/bin/true drew no figures (exit code 0)" in capsys.readouterr().err


def test_equal_names_get_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/bin/true")
    drawn = [("cost", "<svg/>", "AA=="), ("cost", "<svg id='2'/>", "AAA="), ("v1.5", "<svg/>", "AA==")]
    monkeypatch.setattr(pictures, "_draw", lambda *_: drawn)
    names = ["cost.svg", "cost.png", "cost-2.svg", "cost-2.png", "v1.5.svg", "v1.5.png"]
    assert [path.name for path in pictures.write_figures("", tmp_path)] == names
    assert (tmp_path / "cost-2.png").read_bytes() == b"\0\0"
