"""What a sweep expected, wherever a report is read."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from rdrop_exp.report.compare import make_report
from rdrop_exp.report.comparison import Report
from rdrop_exp.report.expected import HEADINGS, Answer, AnswerRow
from rdrop_exp.report.page import build_page, payload
from rdrop_exp.report.table import as_markdown, print_report
from tests.report.chromium import Chromium

ANSWERS = [
    AnswerRow(
        claim="R-Drop beats | dropout", source="arXiv 2106.14448, table 5", answer=Answer.AGREES, estimate=1.234,
        interval=(0.5, 2.0), unit="points", seeds=8, planned=8,
    ),
    AnswerRow(
        claim="early ends lower", answer=Answer.OPEN, estimate=-0.00123, interval=(-0.01, 0.002), seeds=5,
        planned=8, interim=True, more_seeds=12,
    ),
    AnswerRow(claim="a hump", answer=Answer.OPEN, note="no trial has finished"),
]  # fmt: skip


@pytest.fixture
def report(example: Path) -> Report:
    report = make_report([example])
    report.answers = ANSWERS
    return report


def test_an_answer_as_text() -> None:
    first, second, third = (answer.cells for answer in ANSWERS)
    assert first[1:] == ("agrees", "+1.23 points [0.50, 2.00]", "8", "arXiv 2106.14448, table 5")
    assert second[1].startswith("cannot tell yet, interim (12 more seeds for 80 % power")
    assert second[2:4] == ("−0.00123 [−0.01, 0.002]", "5/8")
    assert third[2:4] == ("no trial has finished", "")


def test_terminal_and_markdown(report: Report) -> None:
    for width in (200, 100):
        console = Console(width=width, file=io.StringIO(), color_system=None)
        print_report(report, console)
        assert isinstance(console.file, io.StringIO)
        text = console.file.getvalue()
        (line,) = [line for line in text.splitlines() if "R-Drop beats" in line]
        assert "agrees" in line
        assert "+1.23 points [0.50, 2.00]" in line
        assert max(len(line) for line in text.splitlines()) <= width
    lines = [line for line in as_markdown(report).splitlines() if "R-Drop beats" in line]
    assert lines[0].replace("\\|", "").count("|") == len(HEADINGS) + 1
    report.answers = []
    assert HEADINGS[0] not in as_markdown(report)


def test_the_page_begins_with_the_answers(report: Report, browser: Chromium, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(build_page(report), encoding="utf-8")
    browser.open((tmp_path / "report.html").as_uri())
    assert payload(report)["answers"][0]["answer"] == "agrees"
    cells = "[...document.querySelectorAll('#expected tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))"
    assert browser.evaluate(cells) == [list(answer.cells) for answer in ANSWERS]
    first = "document.querySelector('main > section:not([hidden])').id"
    assert browser.evaluate(first) == "expected"
    assert browser.errors == []
