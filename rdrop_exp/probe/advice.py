"""What to do after a probe, as a sweep that can be run: rates and cutoffs where the papers found their gains.

Liu et al. 2023 (arXiv 2303.01500): early dropout 0.1 and early stochastic depth 0.5, falling in a straight line until
50 of 300 epochs; late stochastic depth from 50 epochs on. R-Drop (arXiv 2106.14448): a hump over alpha, from 0.5 to 5
in this project's scale.
"""

from typing import Any

from rdrop_exp.probe.conditions import Overrides, StandardNoise
from rdrop_exp.probe.verdict import OVER, UNDER, Verdict

SEEDS = 3
MOST_SEEDS = 20


def sentences(verdict: Verdict, branches: bool) -> list[str]:
    """What to do next, in words."""
    if verdict.regime == UNDER:
        kinds = "early dropout and early stochastic depth" if branches else "early dropout"
        return [
            f"Standard noise costs accuracy here. Try none, or {kinds}, which end before they cost;"
            " a larger model or longer training is the other way out."
        ]
    if verdict.regime == OVER:
        also = ", stochastic depth and its late form" if branches else ""
        return [f"Noise pays here: find its rate, and try R-Drop and late dropout{also}."]
    if verdict.more_seeds and verdict.more_seeds <= MOST_SEEDS:
        more = f"about {verdict.more_seeds} more seed{'s' if verdict.more_seeds > 1 else ''}"
        return [f"Run {more} if the difference and its spread stay as they are: a projection, not a promise."]
    if verdict.more_seeds:
        return [
            f"To settle it would take about {verdict.more_seeds} more seeds: a difference that small hardly matters."
            " Choose by cost, which is none."
        ]
    return ["More seeds have to show it (two make an interval, five a useful one), or a larger validation set."]


def sweep(
    verdict: Verdict, noise: StandardNoise, own: Overrides, seeds: int, *, branches: bool, dropouts: bool
) -> dict[str, Any]:
    """The content of a sweep file. `own`: the user's overrides; `branches`, `dropouts`: what places the model has."""
    if verdict.regime == UNDER:
        title, grids = "Under-fitting: noise that ends early", _under(branches, dropouts)
        question = "Does noise help that ends before it costs, and when should it end?"
    elif verdict.regime == OVER:
        title, grids = "Over-fitting: which noise, and how much", _over(verdict, noise, branches, dropouts)
        question = "Which of the dropout family helps most, at what rate?"
    else:
        title, grids = "More seeds of standard noise", [noise.overrides(noise.rates[0])]
        question = "Does standard noise help or hurt?"
        more = min(verdict.more_seeds or 3, MOST_SEEDS)
        seeds = seeds + more
    return {
        "title": title,
        "answers": question,
        "baseline": "none",
        "overrides": own,
        "repeat": SEEDS if verdict.regime in (UNDER, OVER) else seeds,
        "grids": [{"overrides": {"regularizer": "none"}}, *({"overrides": grid} for grid in grids)],
    }


def _under(branches: bool, dropouts: bool) -> list[Overrides]:
    shares = {"regularizer.cutoff_share": [0.1, 0.166667, 0.3]}
    grids: list[Overrides] = []
    if dropouts or not branches:
        grids.append({"regularizer": "early_dropout", "regularizer.dropout": [0.1, 0.2]} | shares)
    if branches:
        grids.append({"regularizer": "early_stochastic_depth", "regularizer.drop_path": [0.3, 0.5]} | shares)
    return grids


def _over(verdict: Verdict, noise: StandardNoise, branches: bool, dropouts: bool) -> list[Overrides]:
    best = verdict.rate or noise.rates[0]
    rates = sorted({round(best * factor, 3) for factor in (0.5, 1.0, 2.0) if best * factor < 0.8})
    alphas = {"regularizer.alpha": [0.5, 1.5, 2.5]}
    option = f"regularizer.{noise.option}"
    tied = "rdrop" if noise.option == "dropout" else "rdrop_stochastic_depth"
    grids: list[Overrides] = [
        {"regularizer": noise.regularizer, option: rates},
        {"regularizer": tied, option: best} | alphas,
        {"regularizer": f"late_{noise.regularizer}", option: rates[1:], "regularizer.cutoff_share": 0.166667},
    ]
    if branches and noise.option == "dropout":
        grids.append({"regularizer": "stochastic_depth,late_stochastic_depth", "regularizer.drop_path": [0.1, 0.2]})
    if dropouts and noise.option == "drop_path":
        grids.append({"regularizer": "dropout", "regularizer.dropout": 0.1})
    return grids


def count(content: dict[str, Any]) -> int:
    """Trials of a sweep file made here."""
    seeds = content["repeat"]
    total = 0
    for grid in content["grids"]:
        product = 1
        for value in grid["overrides"].values():
            product *= len(value) if isinstance(value, list) else str(value).count(",") + 1
        total += product * seeds
    return total
