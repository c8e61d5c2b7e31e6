"""The claims of many sweeps in one table, each judged by itself."""

from pathlib import Path

import pytest
import yaml

from rdrop_exp.report.claims import HEADINGS
from rdrop_exp.report.cli import main
from rdrop_exp.report.compare import make_report
from tests.report.test_answers import groups, sweep
from tests.report.trials import RDROP, write_trial


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    """Two sweeps with expectations, one without, and a trial of none."""
    root = tmp_path / "claims"
    groups(root, {"none": 0.0, "rdrop": 2.0})
    sweep(root, {"claim": "it | helps", "better": "rdrop", "than": "none", "source": "table 5"}, sweep="claims/demo")
    groups(root, {"none": 0.0, "rdrop": -2.0}, experiment="second")
    lines = [{"claim": "it helps", "better": "rdrop", "than": "none"}, {"claim": "broken", "beter": "rdrop"}]
    content = {
        "sweep": "claims/second",
        "expects": lines,
        "seeds": 8,
        "scale": "gpu",
        "arguments": ["device=choice(cpu)"],
    }
    (root / "second/sweep.yaml").write_text(yaml.safe_dump(content))
    groups(root, {"none": 0.0, "1": 9.0}, experiment="plain")
    (root / "plain/sweep.yaml").write_text("sweep: plain\n")
    write_trial(root, RDROP, 99, experiment="single")
    return root


def rows(text: str) -> list[list[str]]:
    table = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.replace("\\|", "/").strip("|").split("|")] for line in table]


def test_every_expectation_is_a_row(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(claims), "--claims"]) == 0
    header, _, first, second, broken = rows(capsys.readouterr().out)
    assert tuple(header) == HEADINGS
    assert first[:3] == ["it / helps", "table 5", "digits · vit_micro"]
    assert first[4:6] == ["8", "agrees"]
    assert first[6] == "`rdrop-exp -m sweep=claims/demo`"
    assert second[3].startswith("−2.00 points [")
    assert second[5:] == ["disagrees", "`rdrop-exp -m sweep=claims/second scale=gpu device=cpu`"]
    assert broken[0] == "broken"
    assert "beter" in broken[3]
    assert broken[5].startswith("cannot tell yet")


def test_sweeps_are_judged_by_themselves(claims: Path) -> None:
    alone = make_report([claims / "demo"]).answers[0]
    assert main([str(claims), "--claims", str(claims / "claims.md")]) == 0
    first = rows((claims / "claims.md").read_text())[2]
    assert first[3] == alone.cells[2]


def test_a_folder_without_expectations(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(claims / "plain"), "--claims"]) == 2
    assert "expects" in capsys.readouterr().err
    assert main([str(claims / "missing"), "--claims"]) == 2
