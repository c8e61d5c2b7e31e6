"""The pages' scripts, as they stand in a page: valid JavaScript without undefined or unused names, and short lines."""

import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from rdrop_exp.report.page import SCRIPTS

ROOT = Path(__file__).parents[2]
PAGES = {
    "report": [("report", name) for name in SCRIPTS],
    "analysis": [("report", "charts.js"), ("analysis", "page.js")],
}


def joined(page: str) -> str:
    """The page's function, with the line breaks of its files."""
    texts = [(files("rdrop_exp") / room / name).read_text(encoding="utf-8") for room, name in PAGES[page]]
    return '"use strict";\n(() => {\n' + "".join(texts) + "})();\n"


@pytest.mark.parametrize("path", sorted(ROOT.glob("rdrop_exp/*/*.js")), ids=lambda path: path.name)
def test_no_line_is_too_long(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("page", PAGES)
def test_linter(page: str, tmp_path: Path) -> None:
    linter = Path(sys.executable).with_name("oxlint")
    if not linter.exists():
        pytest.skip("needs oxlint, of the extra `lint`")
    (tmp_path / "page.js").write_text(joined(page), encoding="utf-8")
    rules = ["-D", "no-undef", "-D", "no-unused-vars", "-c", str(ROOT / ".oxlintrc.json")]
    done = subprocess.run([linter, *rules, "page.js"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (tmp_path / "page.js").write_text(joined(page).replace("use strict", "") + "undefined_name();")
    assert subprocess.run([linter, *rules, "page.js"], cwd=tmp_path, capture_output=True).returncode != 0


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("page", PAGES)
def test_syntax(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.js").write_text(joined(page), encoding="utf-8")
    done = subprocess.run(["node", "--check", "page.js"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_script_is_in_a_page() -> None:
    written = {path.name for path in ROOT.glob("rdrop_exp/report/*.js")}
    assert written == set(SCRIPTS)
    assert re.search(r"^const Charts", joined("report"), re.MULTILINE)
