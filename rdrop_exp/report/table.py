"""The comparison as a table for people: in the terminal, and as Markdown."""

from typing import TYPE_CHECKING

from rdrop_exp.report import expected, ranking
from rdrop_exp.report.comparison import Comparison, Difference, Report, Row, Summary, Verdict
from rdrop_exp.report.conclusion import conclusions, status_line
from rdrop_exp.report.metric import Metric, interval, number, signed
from rdrop_exp.report.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FEW = 8
"""Notes and problems shown in the terminal; all of them are in the page and in the JSON."""


HEADINGS = (
    "", "group", "val", "test", "seeds", "difference [95 %]", "p", "verdict", "train loss", "gap", "training", "img/s",
)  # fmt: skip
NARROW = 8
"""How many of the headings a narrow terminal shows."""


def cells(row: Row, comparison: Comparison) -> tuple[str, ...]:
    """The row as text, one cell per heading."""
    metric, difference = comparison.metric, row.difference
    change = p = ""
    verdict = "baseline" if row is comparison.baseline else "not finished" if row.val.mean is None else ""
    if difference and difference.mean is not None:
        change = signed(difference.mean, metric).removesuffix(metric.unit)
        change += " [{}, {}]".format(*interval(difference.interval, metric)) if difference.interval else ""
        p = _p_value(difference.p_adjusted)
    if difference and row.val.mean is not None:
        verdict = f"{difference.verdict}{outlook(difference)}"
    relative = "" if row.relative_cost is None else f" (×{row.relative_cost:.2f})"
    return (
        str(row.rank) if row.val.mean is not None else "",
        row.label,
        spread(row.val, metric),
        spread(row.test, metric),
        str(len(row.val.values)),
        change,
        p,
        verdict,
        "" if row.train_loss.mean is None else f"{row.train_loss.mean:.4f}",
        "" if row.gap.mean is None else number(row.gap.mean, metric).replace("-", "−"),
        "" if row.training_seconds.mean is None else duration(row.training_seconds.mean) + relative,
        "" if row.speed.mean is None else f"{row.speed.mean:,.0f}",
    )


def outlook(difference: Difference) -> str:
    """`, interim (5/8)`; ` (+12 seeds)`, or ` (12 fresh seeds)` where the plan is used up."""
    if difference.interim:
        return f", interim ({len(difference.values)}/{difference.planned})"
    if not difference.more_seeds:
        return ""
    seeds = f"seed{'s' if difference.more_seeds > 1 else ''}"
    return f" ({difference.more_seeds} fresh {seeds})" if difference.fresh else f" (+{difference.more_seeds} {seeds})"


def _p_value(p: float | None) -> str:
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def spread(summary: Summary, metric: Metric) -> str:
    """`97.10 ± 0.21`, or the mean alone for a single seed."""
    if summary.mean is None:
        return ""
    return number(summary.mean, metric) + ("" if summary.sd is None else f" ± {number(summary.sd, metric)}")


def duration(seconds: float) -> str:
    """`45 s`, `12.5 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def as_markdown(report: Report) -> str:
    """The conclusions, a table for each setting, the notes."""
    parts = ["\n\n".join(conclusions(report)), *filter(None, [expected.markdown(report.answers)])]
    for comparison in report.comparisons:
        lines = [caption(comparison), "", "| " + " | ".join(HEADINGS) + " |"]
        lines.append("|" + "|".join("---" if h in ("group", "verdict") else "---:" for h in HEADINGS) + "|")
        for row in comparison.rows:
            values = [cell.replace("|", "\\|") for cell in cells(row, comparison)]
            values[1] = f"`{values[1]}`"
            lines.append("| " + " | ".join(values) + " |")
        parts.append("\n".join(lines))
    parts += filter(None, [ranking.markdown(report)])
    notes = [*warnings(report), *report.notes, *(note for c in report.comparisons for note in c.notes)]
    parts.append("\n".join([f"Trials: {status_line(report)}.", *(f"* {note}" for note in notes)]))
    return "\n\n".join(parts) + "\n"


def warnings(report: Report) -> list[str]:
    """Warnings of all settings, without duplicates."""
    return list(dict.fromkeys(f"Warning: {text}" for c in report.comparisons for text in c.warnings))


def caption(comparison: Comparison) -> str:
    metric = comparison.metric
    unit = " in %" if metric.percent else " × 100" if metric.scale == 100 else ""
    return (
        f"**{comparison.setting.label}**: {metric.name}{unit}, mean ± standard deviation over seeds; difference from"
        f" `{comparison.baseline.label}` on {comparison.measure}, paired by seed, with simultaneous 95 % intervals."
    )


def terminal() -> "Console":
    """A console on stdout; wide enough for every column if stdout is not a terminal."""
    import sys

    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160)


def print_report(report: Report, console: "Console", top: int = 30) -> None:
    """The table of each setting (its `top` groups and the baseline), caveats and problems, and the conclusion."""
    from rich.text import Text

    for comparison in report.comparisons:
        console.print(_table(comparison, top, narrow=console.width < 130))
        if top and (more := len(comparison.rows) - top) > 0:
            console.print(f"… and {more} more groups (--top 0 shows all)", style="dim")
    if report.answers:
        console.print()
        console.print(expected.terminal_table(report.answers, narrow=console.width < 130))
    if ranked := ranking.ranking(report):
        console.print(Text("\n" + "\n".join(ranking.sentences(ranked)).replace("`", "")), soft_wrap=True)
    console.print(Text(f"\nTrials: {status_line(report)}"))
    notes = [*report.notes, *(note for c in report.comparisons for note in c.notes)]
    problems = [f"{printable(str(t.folder))}: {t.status}: {t.error}" for t in report.trials if t.error]
    for lines in (notes, problems):
        for line in lines[:FEW]:
            console.print(Text(f"  {line.replace('`', '')}"), style="dim", soft_wrap=True)
        if len(lines) > FEW:
            console.print(f"  … and {len(lines) - FEW} more (in the page, and with --json)", style="dim")
    for line in warnings(report):
        console.print(Text(line.replace("`", ""), "yellow"), soft_wrap=True)
    console.print()
    for sentence in conclusions(report):
        pieces = sentence.split("`")
        console.print(Text.assemble(*((p, "bold cyan" if i % 2 else "bold") for i, p in enumerate(pieces))))


def _table(comparison: Comparison, top: int, narrow: bool) -> "Table":
    from rich.table import Table
    from rich.text import Text

    metric = comparison.metric
    unit = " (%)" if metric.percent else " × 100" if metric.scale == 100 else ""
    table = Table(
        title=Text(f"{comparison.setting.label} · {metric.name}{unit}", "bold"), title_justify="left",
        box=None, pad_edge=False, header_style="dim", collapse_padding=True,
    )  # fmt: skip
    shown = NARROW if narrow else len(HEADINGS)
    for heading in HEADINGS[:shown]:
        left = heading in ("group", "verdict")
        heading = "tok/s" if heading == "img/s" and comparison.unit == "tokens" else heading
        table.add_column(heading, justify="left" if left else "right", no_wrap=heading != "group", overflow="fold")
    colours = {Verdict.BETTER: "green", Verdict.WORSE: "red", "baseline": "cyan"}
    for place, row in enumerate(comparison.rows, 1):
        if top and place > top and row is not comparison.baseline:
            continue
        texts = [Text(cell) for cell in cells(row, comparison)[:shown]]
        verdict = row.difference.verdict if row.difference else texts[7].plain
        texts[7] = Text(texts[7].plain.partition(" (")[0] if narrow else texts[7].plain, colours.get(verdict, "dim"))
        table.add_row(*texts, style="bold" if row.rank == 1 else None)
    return table
