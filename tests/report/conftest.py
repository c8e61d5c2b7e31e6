"""The example of the comparison tests, and a browser with the page of a larger sweep."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.report import write_page
from rdrop_exp.report.pictures import find_chrome
from tests.report.chromium import Chromium
from tests.report.trials import EARLY, NONE, RDROP, write, write_trial

# Test accuracies by seed. By hand, in points: rdrop − none = 1.2, 0.8, 0.9; early − none = 0.1, −0.1, 0.2.
NONE_TEST = [0.900, 0.910, 0.905]
RDROP_TEST = [0.912, 0.918, 0.914]
EARLY_TEST = [0.901, 0.909, 0.907]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    for regularizer, values in ((NONE, NONE_TEST), (RDROP, RDROP_TEST), (EARLY, EARLY_TEST)):
        write(tmp_path, regularizer, values)
    return tmp_path


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    binary = find_chrome()
    if binary is None:
        pytest.skip("no Chromium or Chrome: apt-get install chromium")
    with Chromium(binary, tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


@pytest.fixture(scope="session")
def browsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sweep")
    settings: list[tuple[dict[str, Any], float, float]] = [(NONE, 0.900, 0.01), (EARLY, 0.903, 0.0)]
    settings += [
        (RDROP | {"alpha": alpha, "dropout": rate}, 0.91 - 0.01 * abs(alpha - 1) + rate / 100, 0.001)
        for alpha in (0.5, 1.0, 2.0)
        for rate in (0.1, 0.3)
    ]
    for regularizer, level, bend in settings:
        for seed in range(3):
            write_trial(root, regularizer, seed, level + 0.003 * seed + bend * seed**2 / 10, seconds=60 + 1000 * level)
    write_trial(root, EARLY, 9, status="failed")
    return root


@pytest.fixture(scope="session")
def page(browsed: Path) -> str:
    return write_page([browsed], browsed / "report.html").as_uri()
