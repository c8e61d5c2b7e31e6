"""What a sweep expected and what its trials answer, as rows of text for the terminal, Markdown, the page and W&B."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rdrop_exp.report.text import printable

if TYPE_CHECKING:
    from rich.table import Table

HEADINGS = ("expected", "answer", "estimate [95 %]", "seeds", "source")


class Answer(StrEnum):
    AGREES = "agrees"
    DISAGREES = "disagrees"
    IRRELEVANT = "no relevant difference"
    OPEN = "cannot tell yet"


@dataclass(kw_only=True, slots=True)
class AnswerRow:
    """One line of `expects` and its answer."""

    claim: str
    source: str = ""
    answer: Answer
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    """95 % over all lines together."""
    unit: str = ""
    """points, epochs, or nothing."""
    seeds: int = 0
    planned: int | None = None
    more_seeds: int | None = None
    """Further seeds for the wanted power at this estimate; fresh ones where the planned seeds are used up."""
    power: float = 0.8
    interim: bool = False
    setting: str = ""
    """Labels of data and model."""
    note: str = ""
    """Why there is no answer, in a sentence."""

    @property
    def cells(self) -> tuple[str, ...]:
        """One text for each heading."""
        words = [self.answer, *(["interim"] if self.interim else [])]
        if self.more_seeds:
            kind = "more" if self.planned is None or self.interim else "fresh"
            seeds = f"{self.more_seeds} {kind} seed{'s' if self.more_seeds > 1 else ''}"
            words[-1] += f" ({seeds} for {100 * self.power:g} % power)"
        estimate = (
            "" if self.estimate is None else f"{_number(self.estimate, self.unit, sign='+')} {self.unit}".rstrip()
        )
        if self.interval:
            low, high = (_number(end, self.unit) for end in self.interval)
            estimate += f" [{low}, {high}]"
        seeds = f"{self.seeds}/{self.planned}" if self.interim and self.planned else str(self.seeds or "")
        texts = (self.claim, ", ".join(words), estimate or self.note, seeds, self.source)
        return tuple(printable(text) for text in texts)


def _number(value: float, unit: str, sign: str = "") -> str:
    form = {"points": ".2f", "epochs": ".1f"}.get(unit, ".3g")
    return f"{value:{sign}{form}}".replace("-", "−")


def markdown(answers: list[AnswerRow]) -> str:
    """A table of the answers; empty without any."""
    if not answers:
        return ""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|---|---:|---:|---|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in answer.cells) + " |" for answer in answers]
    return "\n".join(lines)


def terminal_table(answers: list[AnswerRow], narrow: bool) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text("What this sweep expected", "bold"), title_justify="left",
        box=None, pad_edge=False, header_style="dim", collapse_padding=True,
    )  # fmt: skip
    shown = HEADINGS[: 4 if narrow else None]
    for heading in shown:
        table.add_column(heading, justify="right" if heading in ("estimate [95 %]", "seeds") else "left")
    colours = {Answer.AGREES: "green", Answer.DISAGREES: "red"}
    for answer in answers:
        texts = [Text(cell) for cell in answer.cells[: len(shown)]]
        texts[1].stylize(colours.get(answer.answer, "dim"))
        table.add_row(*texts)
    return table
