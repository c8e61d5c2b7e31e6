"""What the page shows in a real browser: figures, phone, downloads, links; see test_browser.py."""

import csv
import io
import json
import struct
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from rdrop_exp.report import items, write_page
from rdrop_exp.report.compare import make_report
from rdrop_exp.runs.folder import write_items
from tests.report.chromium import Chromium, keep, opened
from tests.report.trials import EARLY, NONE, RDROP, write_trial


def heads(browser: Chromium) -> list[str]:
    names: list[str] = browser.evaluate("[...document.querySelectorAll('#table thead th')].map((th) => th.dataset.key)")
    return names


def test_on_a_phone_difference_and_verdict_come_first(browser: Chromium, page: str) -> None:
    opened(browser, page, width=390, height=844)
    assert heads(browser)[:3] == ["rank", "difference", "verdict"]
    cell = "document.querySelector('#table tbody tr td:nth-child(2)')"
    assert browser.evaluate(f"{cell}.textContent").startswith("+1.15")
    verdict = "document.querySelector('#table tbody tr td:nth-child(3)').getBoundingClientRect()"
    assert browser.evaluate(f"{verdict}.left") < 300  # seen without scrolling
    opened(browser, page)
    assert heads(browser)[:4] == ["rank", "val_mean", "test_mean", "difference"]


def download(browser: Chromium, button: str, folder: Path) -> Path:
    """Click a button of the page and wait for its file."""
    folder.mkdir()
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    browser.evaluate(f"{button}.click()")
    end = time.monotonic() + 30
    while not (files := [path for path in folder.iterdir() if path.suffix != ".crdownload"]):
        assert time.monotonic() < end
        time.sleep(0.05)
    return files[0]


def test_downloads(browser: Chromium, page: str, browsed: Path, tmp_path: Path) -> None:
    opened(browser, page)
    (report,) = make_report([browsed]).comparisons
    path = download(browser, "document.querySelectorAll('#downloads button')[0]", tmp_path / "csv")
    assert path.name == "demo.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["group"] for row in rows] == [row.label for row in report.rows]
    assert not {"outlook", "time", "wandb"} & rows[0].keys()  # for the eye
    assert float(rows[0]["difference"]) == pytest.approx(report.rows[0].difference.mean)  # type: ignore[union-attr]
    assert (rows[0]["alpha"], rows[0]["rank"], rows[0]["verdict"]) == ("1", "1", "inconclusive")
    path = download(browser, "document.querySelectorAll('#downloads button')[1]", tmp_path / "json")
    assert len(json.loads(path.read_text())["comparisons"][0]["rows"]) == len(rows)
    path = download(browser, "document.querySelector('#effects figure button')", tmp_path / "svg")
    assert path.name == "effects.svg"
    assert "rdrop dropout=0.3 alpha=1" in "".join(ElementTree.fromstring(path.read_text()).itertext())
    path = download(browser, "document.querySelector('#curves figure button:nth-of-type(2)')", tmp_path / "png")
    assert path.name == "curves-accuracy.png"
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert browser.errors == []
    assert {url.split(":")[0] for url in browser.requests} <= {"file", "data", "blob"}


def test_the_forest_marks_what_it_clips(browser: Chromium, tmp_path: Path) -> None:
    for i, spread in enumerate((0.001, 0.001, 0.002, 0.001, 0.15)):
        for seed in range(3):
            write_trial(tmp_path, RDROP | {"alpha": 1.0 + i}, seed, 0.9 + spread * seed**2 / 2)
    for seed in range(3):
        write_trial(tmp_path, NONE, seed, 0.9)
    opened(browser, write_page([tmp_path], tmp_path / "report.html").as_uri())
    plot = "document.querySelector('#effects .plot')"
    low, high = browser.evaluate(f"{plot}.layout.xaxis.range")
    assert -3 < low < 0 < high < 3  # points; the widest interval reaches from −58 to 108
    marks = browser.evaluate(f"{plot}.data.filter((t) => t.name === 'clipped').map((t) => t.y)")
    assert marks == [[4], [4]]
    assert browser.evaluate(f"{plot}.data.flatMap((t) => t.name === 'clipped' ? [] : t.y).length") == 5
    assert browser.errors == []


def test_title_question_warning_and_links(browser: Chromium, tmp_path: Path) -> None:
    for seed in range(2):
        write_trial(tmp_path, NONE, seed, 0.8 + seed / 100)
        address = {"wandb": f"https://wandb.ai/lab/dropouts/runs/demo-{seed}"}
        write_trial(tmp_path, RDROP, seed, 0.9, result=address)
    (tmp_path / "demo" / "sweep.yaml").write_text("sweep: demo\ntitle: Which?\nanswers: Is it?\nbaseline: dropout\n")
    browser.open(write_page([tmp_path], tmp_path / "report.html").as_uri())
    browser.until("document.querySelectorAll('.plot .main-svg').length >= 3")
    text = "document.querySelector('{}').textContent"
    assert browser.evaluate("document.title").startswith("Which?")
    assert browser.evaluate(text.format("h1")) == "Which?"
    assert browser.evaluate(text.format("#question")) == "Is it?"
    assert "dropout" in browser.evaluate(text.format(".warning"))
    links = "[...document.querySelectorAll('#runs a')].map((a) => a.href)"
    assert browser.evaluate(links) == [f"https://wandb.ai/lab/dropouts/runs/demo-{seed}" for seed in range(2)]
    assert browser.evaluate(text.format("#reproduce code")) == "rdrop-exp -m sweep=demo"
    hidden = "[...document.querySelectorAll('main > section[hidden]')].map((s) => s.id)"
    absent = ["expected", "effects", "options", "analysis", "pairs", "parallel", "ranking", "failures"]
    assert browser.evaluate(hidden) == absent
    assert browser.errors == []


def test_a_phone_scrolls_only_downwards(browser: Chromium, page: str) -> None:
    opened(browser, page, width=390, height=844)
    keep(browser, "phone")
    assert browser.evaluate("document.documentElement.scrollWidth") == 390
    assert (
        browser.evaluate("document.querySelector('#groups .scroll').scrollWidth") > 390
    )  # the table scrolls in itself
    assert browser.errors == []


def test_several_settings_are_chosen_from(browser: Chromium, tmp_path: Path) -> None:
    for name in ("digits", "cifar10"):
        for seed in range(2):
            write_trial(tmp_path, NONE, seed, 0.8, dataset={"name": name})
            write_trial(tmp_path, RDROP, seed, 0.9 + seed / 100, dataset={"name": name})
    browser.open(write_page([tmp_path], tmp_path / "report.html").as_uri())
    browser.until("document.querySelectorAll('.plot .main-svg').length >= 4")
    buttons = "[...document.querySelectorAll('.choose')].map((b) => [b.textContent, b.getAttribute('aria-pressed')])"
    assert browser.evaluate(buttons) == [["cifar10 · vit_micro", "true"], ["digits · vit_micro", "false"]]
    browser.evaluate("document.querySelectorAll('.choose')[1].click()")
    assert browser.evaluate(buttons)[1] == ["digits · vit_micro", "true"]
    assert "on digits · vit_micro" in browser.evaluate("document.querySelector('#groups-lead').textContent")
    assert browser.errors == []


def test_what_was_measured_while_training_is_drawn(browser: Chromium, tmp_path: Path) -> None:
    for regularizer, seed in ((NONE, 0), (NONE, 1), (EARLY, 0), (EARLY, 1)):
        folder = write_trial(tmp_path, regularizer, seed, 0.9, rows=400)  # more rows than a page takes
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        rows[1] |= {"analysis/direction_error": 0.25 + seed / 10, "analysis/model_distance": 1.0}
        rows[203] |= {"analysis/direction_error": 0.5, "analysis/model_distance": 2.0}
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    opened(browser, write_page([tmp_path], tmp_path / "report.html").as_uri())
    keep(browser, "analysis")
    assert not browser.evaluate("document.querySelector('#analysis').hidden")
    lines = "p.data.filter((t) => !t.fill).map((t) => t.y.length)"
    drawn = browser.evaluate(f"[...document.querySelectorAll('#analysis .plot')].map((p) => {lines})")
    assert drawn == [[2, 2], [2, 2]]
    assert browser.errors == []


def test_the_picture_for_the_readme(browser: Chromium, browsed: Path, tmp_path: Path) -> None:
    """As `make picture` draws it: 24-bit colours, at most 300 KB."""
    script = Path(__file__).parents[2] / "docs" / "picture.py"
    subprocess.run([sys.executable, script, browsed, tmp_path / "report.png"], check=True)
    data = (tmp_path / "report.png").read_bytes()
    width, _, depth, colours = struct.unpack(">IIBB", data[16:26])
    assert (data[:8], width, depth, colours) == (b"\x89PNG\r\n\x1a\n", 1280, 8, 2)
    assert len(data) <= 300_000


def test_columns_for_new_images_and_chances_only_where_there_are_any(browser: Chromium, tmp_path: Path) -> None:
    for seed in range(10):
        for regularizer, wrong in ((NONE, 60 + seed % 3), (RDROP, 40)):
            correct = np.arange(400) >= wrong
            folder = write_trial(tmp_path, regularizer, seed, float(correct.mean()))
            write_items(folder, {"test": correct})
    browser.open(write_page([tmp_path], tmp_path / "report.html").as_uri())
    shown = heads(browser)
    assert {"items_low", "p_better"} <= set(shown)
    cell = "document.querySelector('#table tbody tr td:nth-child({})').textContent"
    (row,) = [row for row in make_report([tmp_path]).comparisons[0].rows if row.label == "rdrop"]
    assert row.difference is not None
    assert row.difference.interval_items is not None
    low, high = row.difference.interval_items
    assert browser.evaluate(cell.format(shown.index("items_low") + 1)) == f"[{low:.2f}, {high:.2f}]"
    assert browser.evaluate(cell.format(shown.index("p_better") + 1)).startswith("1.00 [0.69, 1.00]")
    assert browser.errors == []
    for path in tmp_path.glob("demo/*/items.npz"):
        path.unlink()
    items._read.cache_clear()
    browser.open(write_page([tmp_path], tmp_path / "report.html").as_uri())
    assert "items_low" not in heads(browser)
