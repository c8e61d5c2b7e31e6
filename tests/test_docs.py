"""What the README and the documentation name exists: links, files, folders, options and choices."""

import re
from pathlib import Path

import hydra
import pytest

from rdrop_exp.config.arguments import arrange
from rdrop_exp.config.compose import options_of
from tests.conftest import ROOT

README = ROOT / "README.md"
EXAMPLES = {"triangle_dropout", "strong", "photos", "mine"}  # files that a user would write
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
TABLE = [line for line in README.read_text().splitlines() if line.startswith("| ") and "=" in line]
OPTIONS = [
    code for line in TABLE for code in re.findall(r"`([^`]+)`", line) if re.fullmatch(r"[\w.]+=\S+( [\w.]+=\S+)*", code)
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_files_of_a_page_exist(page: Path) -> None:
    text = page.read_text()
    links = [page.parent / link.partition("#")[0] for link in re.findall(r"\]\((?!https?:|#)([^)]+)\)", text)]
    files = [
        ROOT / path for path in re.findall(r"`((?:rdrop_exp|tests|benchmarks|conf|sweeps|docs)/[\w/]+\.\w+)`", text)
    ]
    if page.stem != "log":  # dated entries name the files of their time
        links += files
    assert [path for path in links if not path.exists() and path.stem not in EXAMPLES] == []


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
