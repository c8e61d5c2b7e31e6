"""From folders of trials to an honest comparison: in the terminal, in a page, in Weights & Biases."""

from collections.abc import Iterable
from pathlib import Path


def print_table(folders: Iterable[Path]) -> None:
    """Print the comparison of the trials under `folders`; `OptionError` where there are none."""
    from rdrop_exp.report.compare import make_report
    from rdrop_exp.report.table import print_report, terminal

    print_report(make_report(folders), terminal())


def write_page(folders: Iterable[Path], path: Path) -> Path:
    """Write the comparison of the trials under `folders` as one self-contained page, and return its path."""
    from rdrop_exp.report.compare import make_report
    from rdrop_exp.report.page import build

    path.write_text(build(make_report(folders)), encoding="utf-8")
    return path
