"""The comparison as LaTeX: a booktabs table for each setting, ready to be \\input."""

import re

from rdrop_exp.report.comparison import Comparison, Report
from rdrop_exp.report.table import HEADINGS, caption, cells

COLUMNS = {"group": "l", "val": "r", "test": "r", "difference [95 %]": "r", "p": "r", "verdict": "l", "training": "r"}
"""Headings of the table and their alignment."""
SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "[": "{[}", "]": "{]}", "*": "{*}",  # no option of \\
    "−": r"\textminus{}", "±": r"\textpm{}", "×": r"\texttimes{}", "·": r"\textperiodcentered{}", "…": r"\dots{}",
    "–": r"\textendash{}", "’": r"\textquoteright{}", "α": r"\ensuremath{\alpha}", "\u00a0": "~",
}  # fmt: skip
"""What LaTeX reads otherwise than as itself, or what pdfLaTeX lacks."""


def as_latex(report: Report) -> str:
    """A table for each setting; rows whose interval excludes zero are bold."""
    head = "% rdrop-report --latex; needs \\usepackage{booktabs} and, for pdfLaTeX, \\usepackage[T1]{fontenc}"
    return "\n\n".join([head, *(_table(comparison, i) for i, comparison in enumerate(report.comparisons, 1))]) + "\n"


def escaped(text: str) -> str:
    """Any text as LaTeX that typesets it; hyphens do not join to a dash."""
    return re.sub("-(?=-)", "-{}", "".join(SPECIAL.get(character, character) for character in text))


def _table(comparison: Comparison, number: int) -> str:
    lines = [
        r"\begin{table}", r"\centering", rf"\caption{{{_caption(comparison)}}}", rf"\label{{tab:report-{number}}}",
        rf"\begin{{tabular}}{{{''.join(COLUMNS.values())}}}", r"\toprule", _row(list(COLUMNS)), r"\midrule",
    ]  # fmt: skip
    places = [HEADINGS.index(heading) for heading in COLUMNS]
    for row in comparison.rows:
        texts = cells(row, comparison)
        lines.append(_row([texts[place] for place in places], bold=comparison.differs(row)))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _row(texts: list[str], bold: bool = False) -> str:
    shown = [rf"\textbf{{{escaped(text)}}}" if bold and text else escaped(text) for text in texts]
    return " & ".join(shown) + r" \\"


def _caption(comparison: Comparison) -> str:
    """The table's caption, with `backticks` as typewriter, and what bold means."""
    pieces = caption(comparison).replace("**", "").split("`")
    words = [rf"\texttt{{{escaped(piece)}}}" if i % 2 else escaped(piece) for i, piece in enumerate(pieces)]
    return "".join(words) + " Bold: the interval excludes zero; p is adjusted for all comparisons."
