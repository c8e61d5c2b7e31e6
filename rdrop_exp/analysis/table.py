"""The measured trials as a table: in the terminal, and for the page."""

from typing import Any

HEADINGS = (
    "trial", "step", "noise", "grad norm", "distance", "direction variance", "direction error", "bias²", "variance",
    "KL noisy-noisy", "KL noisy-clean", "accuracy", "MC gain", "ECE", "ECE MC",
)  # fmt: skip


def cells(content: dict[str, Any]) -> tuple[str, ...]:
    """One analysis.json as text, one cell per heading; empty if it was not measured."""
    g, i = content.get("gradient"), content.get("inconsistency")
    distance = content.get("distance")
    return (
        content["trial"],
        str(content["step"]),
        f"{content['share']:.2f}" if g else "",
        interval(g["norm"]) if g else "",
        "" if distance is None else f"{distance:.3g} ({content['relative_distance']:.0%})",
        interval(g["direction_variance"]) if g else "",
        interval(g["direction_error"]) if g else "",
        f"{g['squared_bias']:.3g}" if g else "",
        f"{g['variance']:.3g}" if g else "",
        interval(i["divergence"]) if i else "",
        interval(i["inconsistency"]) if i else "",
        f"{i['accuracy']:.2%}" if i else "",
        interval({k: v if v is None else 100 * v for k, v in i["gain"].items()}, "+.2f") if i else "",
        f"{i['ece']:.2%}" if i else "",
        f"{i['ece_mc']:.2%}" if i else "",
    )


def interval(estimate: dict[str, float | None], form: str = ".3g") -> str:
    """`0.31 [0.29, 0.33]`, or the value alone."""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    text = f"{value:{form}}" + (f" [{low:{form}}, {high:{form}}]" if low is not None and high is not None else "")
    return text.replace("-", "−")


def print_table(rows: list[tuple[str, ...]]) -> None:
    """One column per trial and one line per metric, in blocks that fit the terminal; unmeasured metrics are omitted."""
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
