"""Groups ranked over several settings, such as data sets: average ranks, who beats whom, and what differs.

By the label, which means the same in every setting. A setting counts once, however many seeds it has; settings on the
same data count as if they were independent.
"""

from dataclasses import dataclass
from typing import Any

from rdrop_exp.report.comparison import Comparison, Report
from rdrop_exp.statistics.ranks import Ranking, rank_groups

FEWEST = 3
"""Settings, and groups that they share, from which there is a ranking."""
SHOWN = 20
"""Groups of the win matrix on the page and in Markdown; the JSON holds all."""
NAMED = 8
"""Groups in the sentence of the terminal."""


@dataclass(kw_only=True, slots=True)
class SettingRanking:
    """The shared groups, best average rank first; `result` is in the same order."""

    settings: list[str]
    left_out: list[str]
    """Settings with too few of the groups."""
    groups: list[str]
    result: Ranking

    def as_dict(self) -> dict[str, Any]:
        result = self.result
        return {
            "settings": self.settings, "left_out": self.left_out, "groups": self.groups, "average_ranks": result.ranks,
            "friedman_p": result.p, "critical_difference": result.critical_difference, "wins": result.wins,
        }  # fmt: skip

    @property
    def significant(self) -> bool:
        return self.result.p is not None and self.result.p < 0.05


def ranking(report: Report) -> SettingRanking | None:
    """The ranking by the judged measure, mean over seeds; None below three settings that share three groups."""
    means = {id(c): _means(c) for c in report.comparisons}
    kept, left_out = list(report.comparisons), []
    shared = _shared(kept, means)
    while len(kept) > FEWEST and len(shared) < FEWEST:  # leave out the setting that costs most groups
        dropped = max(kept, key=lambda c: len(_shared([one for one in kept if one is not c], means)))
        kept = [c for c in kept if c is not dropped]
        left_out.append(dropped.setting.label)
        shared = _shared(kept, means)
    if len(kept) < FEWEST or len(shared) < FEWEST:
        return None
    table = [[round(means[id(c)][group], 9) for group in shared] for c in kept]
    result = rank_groups(table, kept[0].metric.higher_is_better)
    if result is None:
        return None
    order = sorted(range(len(shared)), key=lambda i: (result.ranks[i], shared[i]))
    ordered = Ranking(
        ranks=[result.ranks[i] for i in order],
        p=result.p,
        critical_difference=result.critical_difference,
        wins=[[result.wins[i][j] for j in order] for i in order],
    )
    names = [c.setting.label for c in kept]
    return SettingRanking(settings=names, left_out=left_out, groups=[shared[i] for i in order], result=ordered)


def _means(comparison: Comparison) -> dict[str, float]:
    """Mean over seeds of each group that has enough of them, by label."""
    summaries = {row.label: getattr(row, comparison.measure) for row in comparison.ranked}
    return {label: summary.mean for label, summary in summaries.items() if summary.mean is not None}


def _shared(comparisons: list[Comparison], means: dict[int, dict[str, float]]) -> list[str]:
    """Labels that all of the settings have, sorted."""
    return sorted(set.intersection(*(set(means[id(c)]) for c in comparisons))) if comparisons else []


def sentences(ranked: SettingRanking) -> list[str]:
    """The ranking and what it shows; groups are in `backticks`."""
    result = ranked.result
    named = [f"`{group}` {rank:.2f}" for group, rank in zip(ranked.groups, result.ranks, strict=True)]
    more = f" and {len(named) - NAMED} more groups" if len(named) > NAMED else ""
    lines = [f"Average rank over {len(ranked.settings)} settings (1 is best): {', '.join(named[:NAMED])}{more}."]
    lines.append(verdict(ranked))
    if ranked.left_out:
        lines.append(f"Not in the ranking, for want of shared groups: {', '.join(ranked.left_out)}.")
    return lines


def verdict(ranked: SettingRanking) -> str:
    """What the Friedman test says, and the critical difference where it finds something."""
    result = ranked.result
    if result.p is None:
        return "All groups tie in every setting."
    p = "p < 0.001" if result.p < 0.001 else f"p = {result.p:.3f}"
    if not ranked.significant:
        return f"The ranks do not differ significantly (Friedman test, {p})."
    return (
        f"The ranks differ (Friedman test, {p}): two groups whose average ranks are at least"
        f" {result.critical_difference:.2f} apart differ significantly (Nemenyi test)."
    )


def markdown(report: Report) -> str:
    """The sentences and the win matrix; empty without a ranking."""
    ranked = ranking(report)
    if ranked is None:
        return ""
    count = min(SHOWN, len(ranked.groups))
    heads = ["", "group", "average rank", *(f"beats {i + 1}" for i in range(count))]
    lines = ["| " + " | ".join(heads) + " |", "|---:|---|" + "---:|" * (count + 1)]
    for i in range(count):
        label = ranked.groups[i].replace("|", "\\|")
        wins = ["" if i == j else f"{ranked.result.wins[i][j]:g}" for j in range(count)]
        lines.append("| " + " | ".join([str(i + 1), f"`{label}`", f"{ranked.result.ranks[i]:.2f}", *wins]) + " |")
    explained = f"Wins in {len(ranked.settings)} settings; a tie counts half."
    return "\n\n".join([" ".join(sentences(ranked)), "\n".join(lines), explained])


def payload(report: Report) -> dict[str, Any] | None:
    """What the page shows (ranking.js)."""
    ranked = ranking(report)
    if ranked is None:
        return None
    values = ranked.as_dict()
    return values | {
        "groups": ranked.groups[:SHOWN],
        "average_ranks": ranked.result.ranks[:SHOWN],
        "wins": [row[:SHOWN] for row in ranked.result.wins[:SHOWN]],
        "verdict": verdict(ranked),
    }
