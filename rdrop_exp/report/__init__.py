"""Comparison of finished trials: in the terminal, as a page, in Weights & Biases."""

import os
from collections.abc import Iterable
from pathlib import Path


def summarise(folders: Iterable[Path]) -> None:
    """Print the comparison of the trials under `folders` and write it, as report.html, to the folder they share.

    For other programs, such as a runner whose sweep has ended. `OptionError` where there are no trials.
    """
    from rdrop_exp.report.compare import make_report
    from rdrop_exp.report.page import build_page
    from rdrop_exp.report.table import print_report, terminal

    folders = [Path(folder) for folder in folders]
    report = make_report(folders)
    print_report(report, terminal())
    shared = folders[0] if len(folders) == 1 else Path(os.path.commonpath(folders))
    (shared / "report.html").write_text(build_page(report), encoding="utf-8")
    print(f"Trials: {shared}\nPage: {shared / 'report.html'}")


def write_page(folders: Iterable[Path], path: Path) -> Path:
    """Write the comparison of the trials under `folders` as one self-contained page, and return its path."""
    from rdrop_exp.report.compare import make_report
    from rdrop_exp.report.page import build_page

    path.write_text(build_page(make_report(folders)), encoding="utf-8")
    return path
