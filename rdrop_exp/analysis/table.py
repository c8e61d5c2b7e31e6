"""The measured trials by group, as a table: in the terminal, and for the page."""

from collections.abc import Sequence
from typing import Any

from rdrop_exp.report.groups import Group, Setting
from rdrop_exp.statistics.paired import mean_sd

METRICS: dict[str, tuple[str, str]] = {
    "noise": ("share", ".2f"),
    "grad norm": ("gradient.norm", ".3g"),
    "distance": ("distance", ".3g"),
    "relative distance": ("relative_distance", ".0%"),
    "direction variance": ("gradient.direction_variance", ".3g"),
    "direction error": ("gradient.direction_error", ".3g"),
    "bias²": ("gradient.squared_bias", ".3g"),
    "variance": ("gradient.variance", ".3g"),
    "KL noisy-noisy": ("inconsistency.divergence", ".3g"),
    "KL noisy-clean": ("inconsistency.inconsistency", ".3g"),
    "accuracy": ("inconsistency.accuracy", ".2%"),
    "MC gain": ("inconsistency.gain", "+.2%"),
    "ECE": ("inconsistency.ece", ".2%"),
    "ECE MC": ("inconsistency.ece_mc", ".2%"),
}
"""Heading: the metric's path in analysis.json, and its format."""
HEADINGS = ("group", "seeds", "step", *METRICS)


def labelled_groups(by_setting: Sequence[Setting]) -> list[tuple[str, Group]]:
    """All groups by the names that the report gives them; several settings prefix theirs."""
    several = len(by_setting) > 1
    return [(f"{s.label}: {g.label}" if several else g.label, g) for s in by_setting for g in s.groups]


def table_rows(by_setting: Sequence[Setting], contents: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """A row per group with measured trials. `contents`: each trial's analysis.json, by identity."""
    rows = []
    for label, group in labelled_groups(by_setting):
        measured = [contents[trial.identity] for trial in group.trials if trial.identity in contents]
        if measured:
            rows.append(cells(label, measured))
    return rows


def cells(label: str, contents: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """A group's analysis.json files as text, one cell per heading; empty if not measured."""
    steps = sorted({content["step"] for content in contents})
    step = str(steps[0]) if len(steps) == 1 else f"{steps[0]}–{steps[-1]}"
    return (label, str(len(contents)), step, *(_cell(contents, path, form) for path, form in METRICS.values()))


def _cell(contents: Sequence[dict[str, Any]], path: str, form: str) -> str:
    """Mean ± standard deviation over seeds; with one seed the value with its interval, if it has one."""
    values = [value for content in contents if (value := _lookup(content, path)) is not None]
    if not values:
        return ""
    mean, sd = mean_sd([value["value"] if isinstance(value, dict) else value for value in values])
    text = f"{mean:{form}}"
    if sd is not None:
        text += f" ± {sd:{form.removeprefix('+').replace('3g', '2g')}}"
    elif isinstance(values[0], dict) and values[0]["low"] is not None:
        text += f" [{values[0]['low']:{form}}, {values[0]['high']:{form}}]"
    return text.replace("-", "−")


def _lookup(content: dict[str, Any], path: str) -> Any:
    """The value at a dotted path; None if there is none."""
    value: Any = content
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """One column per group and one line per metric, in blocks that fit the terminal; unmeasured metrics are omitted."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    per_block = max(1, (console.width - 20) // 26)
    for start in range(0, len(rows), per_block):
        block = rows[start : start + per_block]
        table = Table(HEADINGS[0], *(row[0] for row in block), box=None, pad_edge=False)
        for i, heading in enumerate(HEADINGS[1:], 1):
            if any(row[i] for row in block):
                table.add_row(heading, *(row[i] for row in block))
        console.print(table)
        console.print()
