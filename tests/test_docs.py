"""What the README and the documentation name exists: links, files, folders, options and choices; the site builds."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import hydra
import pytest

from rdrop_exp.config.arguments import arrange
from rdrop_exp.config.compose import options_of
from tests.conftest import ROOT

README = ROOT / "README.md"
EXAMPLES = {"triangle_dropout", "strong", "photos", "mine", "seedlings", "NAME"}  # files that a user would write
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TABLE = [line for line in README.read_text().splitlines() if line.startswith("| ") and "=" in line]
OPTIONS = [
    code for line in TABLE for code in re.findall(r"`([^`]+)`", line) if re.fullmatch(r"[\w.]+=\S+( [\w.]+=\S+)*", code)
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_files_of_a_page_exist(page: Path) -> None:
    text = page.read_text()
    targets = [link.partition("#") for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)]
    links = [page.parent / path for path, _, _ in targets]
    files = [
        ROOT / path for path in re.findall(r"`((?:rdrop_exp|tests|benchmarks|conf|sweeps|docs)/[\w/]+\.\w+)`", text)
    ]
    if page.stem != "log":  # dated entries name the files of their time
        links += files
    assert [path for path in links if not path.exists() and path.stem not in EXAMPLES] == []
    assert [(path, anchor) for path, _, anchor in targets if anchor and anchor not in anchors(page, path)] == []


def anchors(page: Path, path: str) -> set[str]:
    """What GitHub and MkDocs make of the headings of the page at the other end of a link."""
    text = (page.parent / path if path else page).read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_page_is_on_the_site_once() -> None:
    listed = re.findall(r"^ +- (?:\w+: )?([\w/]+\.md)$", (ROOT / "docs/site/mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocstrings") is None, reason="the extra `docs` is not installed")
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    site, config = tmp_path / "site", ROOT / "docs/site/mkdocs.yml"
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--quiet",
        "--config-file",
        str(config),
        "--site-dir",
        str(site),
    ]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {path: path.read_text() for path in site.rglob("*.html")}
    assert len(pages) > len(PAGES) - 5
    for path, text in pages.items():
        assert re.findall(r'src="(?:https?:)?//[^"]+|<link rel="stylesheet" href="(?:https?:)?//[^"]+', text) == [], (
            path
        )
    assert "Full rate of stochastic depth" in pages[site / "python.html"]


def test_the_map_lists_every_folder_of_the_package() -> None:
    rooms = {path.parent.name for path in (ROOT / "rdrop_exp").glob("*/__init__.py")}
    assert rooms == set(re.findall(r"^  (\w+)/ ", README.read_text(), re.MULTILINE))


def test_every_regularizer_with_a_page_is_a_preset() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "regularizers").glob("*.md")}
    assert pages <= {path.stem for path in (ROOT / "conf" / "regularizer").glob("*.yaml")}
    assert len(pages) > 15


@pytest.mark.usefixtures("hydra_config")
@pytest.mark.parametrize("options", [options for options in OPTIONS if not options.startswith("hydra")])
def test_options_of_the_readmes_table_compose(options: str) -> None:
    options_of(hydra.compose("train", arrange(options.split())))


def test_the_table_is_read() -> None:
    assert len(OPTIONS) > 12
