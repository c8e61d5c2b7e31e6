"""The LaTeX tables: their structure, what is bold, and that no label can be read as a command."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rdrop_exp.report.cli import main
from rdrop_exp.report.latex import COLUMNS, escaped
from tests.report.trials import EARLY, NONE, RDROP, write, write_trial

HOSTILE = r"a_b & 50% #1 $x$ {y} ~ ^ \input{/etc/passwd} <b> | [2] * -- −± α"


def body(text: str) -> list[list[str]]:
    """Cells of the rows between the rules, of all tables."""
    tables = re.findall(r"\\midrule\n(.*?)\n\\bottomrule", text, re.DOTALL)
    lines = [line for table in tables for line in table.splitlines()]
    assert all(line.endswith(r" \\") for line in lines)
    return [re.split(r"(?<!\\) & ", line.removesuffix(r" \\")) for line in lines]


def test_a_table_for_each_setting(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_trial(example, NONE, 0, 0.5, dataset={"name": "svhn"})
    assert main([str(example), "--latex"]) == 0
    text = capsys.readouterr().out
    assert [text.count(part) for part in (r"\begin{table}", r"\end{tabular}", r"\toprule", r"\label{")] == [2] * 4
    assert r"\begin{tabular}{lrrrrlr}" in text
    caption = re.search(r"\\caption\{(.*)\}\n", text)
    assert caption
    assert all(word in caption[1] for word in ("accuracy", r"\%", r"\texttt{none}", "paired by seed", "simultaneous"))
    rows = body(text)
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert [row[0] for row in rows] == [r"\textbf{rdrop}", r"early\_dropout", "none", "none"]
    assert rows[0][3].startswith(r"\textbf{+0.97 {[}")
    assert rows[0][5] == r"\textbf{better}"
    assert rows[1][3].startswith("+0.07 ")
    assert r"\textminus{}" in rows[1][3]
    assert not any("\\textbf" in cell for row in rows[1:] for cell in row)


@pytest.mark.parametrize("name", [HOSTILE, "[1cm] first in its row", "*", r"\\", "}{", "%"])
def test_a_label_is_text(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"regularizer": {"name": name}, "model": {"label": name}, "dataset": {"name": name}}
    write_trial(tmp_path, RDROP, 0, result={"options": options, "group": "odd", "identity": "odd"})
    assert main([str(tmp_path), "--latex"]) == 0
    text = capsys.readouterr().out
    (row,) = body(text)
    assert row[0] == escaped(name)
    commands = set(re.findall(r"\\[a-z]+", text.partition("\n")[2]))
    assert "\\input" not in commands
    plain = re.sub(r"\\[a-zA-Z]+|\\.", "", text.partition("\n")[2])  # without commands and escaped characters
    assert plain.count("{") == plain.count("}")
    assert not set(plain) & set("$#%^_")
    assert not re.search(r"\\\\\s*[\[*]", text)


def test_escaping() -> None:
    assert escaped("50 % of a_b & c") == r"50 \% of a\_b \& c"
    assert escaped("\\ [*] a---b") == r"\textbackslash{} {[}{*}{]} a-{}-{}-b"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_compiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for regularizer in (NONE, EARLY, RDROP | {"name": HOSTILE}):
        write(tmp_path, regularizer, [0.9, 0.91])
    assert main([str(tmp_path), "--latex"]) == 0
    head = r"\documentclass{article}\usepackage{booktabs}\usepackage[T1]{fontenc}\begin{document}"
    (tmp_path / "t.tex").write_text(head + capsys.readouterr().out + r"\end{document}")
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)
