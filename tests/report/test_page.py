"""The page's data: figures by hand, one whole file, nothing that could break out of it or reach outside."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rdrop_exp.report import write_page
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.export import as_csv, as_json
from rdrop_exp.report.page import as_json as page_json
from rdrop_exp.report.page import build_page, payload
from rdrop_exp.report.table import as_markdown
from rdrop_exp.report.wandb import as_table, place
from tests.report.trials import NONE, RDROP, write_trial


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
