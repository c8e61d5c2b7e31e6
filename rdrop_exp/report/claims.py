"""What many sweeps expected, and their answers, as one Markdown table: `rdrop-report outputs/claims --claims`.

Each sweep is judged by itself, on the trials in its own folder.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rdrop_exp.config.schema import OptionError
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.comparison import Report
from rdrop_exp.report.expected import AnswerRow
from rdrop_exp.report.sweep import Sweep, read_sweeps
from rdrop_exp.report.trial import SIGNS
from rdrop_exp.statistics.power import POWER

HEADINGS = ("claim", "source", "setting", "estimate [95 %]", "seeds", "answer", "command")
INTRODUCTION = """\
# Claims, re-tested

One row for each expectation that a sweep states in its file, with the answer of its trials. Estimates are means of
paired differences over seeds. The intervals and answers of one sweep hold together: the chance of any false one is at
most 5 %, however often one looked. *interim*: fewer seeds than planned.
"""


def as_markdown(folders: Iterable[Path], smallest: float | None = None, power: float = POWER) -> str:
    """The table of all sweeps under the folders that expect something; `OptionError` where there is none."""
    folders = list(folders)
    lines = [line for sweep, trials in _sweeps(folders) for line in _lines(sweep, trials, smallest, power)]
    if not lines:
        raise OptionError(f"no sweep in {', '.join(map(str, folders))} has an `expects` in its sweep.yaml")
    table = [HEADINGS, ("---", "---", "---", "---:", "---:", "---", "---"), *lines]
    return "\n".join([INTRODUCTION, *(f"| {' | '.join(cells)} |" for cells in table)]) + "\n"


def _sweeps(folders: list[Path]) -> Iterator[tuple[Sweep, list[Path]]]:
    """Sweeps that expect something, in the order of their folders, each with the trial folders directly inside."""
    found: dict[Path, list[Path]] = {}
    for root in folders:
        for path, inside, files in os.walk(root, followlinks=False):
            if SIGNS & set(files):
                found.setdefault(Path(path).parent, []).append(Path(path))
                inside.clear()
            inside[:] = [name for name in inside if not name.startswith(".")]
    for sweep in read_sweeps(found):
        if sweep.expects:
            yield sweep, found[sweep.folder]


def _lines(sweep: Sweep, trials: list[Path], smallest: float | None, power: float) -> list[tuple[str, ...]]:
    report = make_report(trials, smallest=smallest, power=power)
    return [_cells(answer, sweep, report) for answer in report.answers]


def _cells(answer: AnswerRow, sweep: Sweep, report: Report) -> tuple[str, ...]:
    claim, words, estimate, seeds, source = (cell.replace("|", "\\|") for cell in answer.cells)
    setting = answer.setting or ", ".join(c.setting.label for c in report.comparisons)
    command = f"`{sweep.command}`" if sweep.command else ""
    return claim, source, *(text.replace("|", "\\|") for text in (setting, estimate, seeds, words, command))
