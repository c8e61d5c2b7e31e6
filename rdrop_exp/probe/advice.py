"""What to do after a probe, as a sweep file: rates and cutoffs in the ranges where the papers report gains.

Liu et al. 2023 (arXiv 2303.01500): early dropout 0.1 and early stochastic depth 0.5, decreasing linearly until epoch 50
of 300; late stochastic depth from epoch 50 on. R-Drop (arXiv 2106.14448): accuracy peaks over alpha between 0.5 and 5
on this project's scale.
"""

from typing import Any

from rdrop_exp.probe.conditions import Overrides, StandardNoise
from rdrop_exp.probe.verdict import Regime, Verdict

SEEDS = 3
MOST_SEEDS = 20


def recommendation(verdict: Verdict, branches: bool) -> str:
    """What to do next, in words."""
    if verdict.regime == Regime.UNDERFITTING:
        kinds = "early dropout and early stochastic depth, which end" if branches else "early dropout, which ends"
        return (
            f"Standard noise lowers accuracy here. Use none, or try {kinds} before training does;"
            " a larger model or longer training is the alternative."
        )
    if verdict.regime == Regime.OVERFITTING:
        more = ", late dropout, stochastic depth and late stochastic depth" if branches else " and late dropout"
        return f"Noise helps here. Tune its rate, and try R-Drop{more}."
    if verdict.more_seeds and verdict.more_seeds <= MOST_SEEDS:
        more = f"{verdict.more_seeds} more seed{'s' if verdict.more_seeds > 1 else ''}"
        return f"About {more} needed, if the difference and its spread stay the same."
    if verdict.more_seeds:
        return "The difference is negligible; use the cheaper option, regularizer=none."
    return "Run more seeds (two give an interval, five a useful one), or use a larger validation set."


def sweep(
    verdict: Verdict, noise: StandardNoise, overrides: Overrides, seeds: int, *, branches: bool, dropouts: bool
) -> dict[str, Any]:
    """The content of a sweep file. `overrides`: the user's; `branches`, `dropouts`: the noise sites of the model."""
    if verdict.regime == Regime.UNDERFITTING:
        title, grids = "Underfitting: early noise", _underfitting_grids(branches, dropouts)
        question = "Does noise help if it ends early, and when should it end?"
    elif verdict.regime == Regime.OVERFITTING:
        title, grids = "Overfitting: which noise, and how much", _overfitting_grids(verdict, noise, branches, dropouts)
        question = "Which regularizer helps most, and at what rate?"
    else:
        title, grids = "More seeds of standard noise", [noise.overrides(noise.rates[0])]
        question = "Does standard noise help or hurt?"
    decided = verdict.regime != Regime.INCONCLUSIVE
    return {
        "title": title,
        "answers": question,
        "baseline": "none",
        "overrides": overrides,
        "repeat": SEEDS if decided else seeds + min(verdict.more_seeds or 3, MOST_SEEDS),
        "grids": [{"overrides": {"regularizer": "none"}}, *({"overrides": grid} for grid in grids)],
    }


def _underfitting_grids(branches: bool, dropouts: bool) -> list[Overrides]:
    cutoffs = {"regularizer.cutoff_share": [0.1, 0.166667, 0.3]}
    grids: list[Overrides] = []
    if dropouts or not branches:
        grids.append({"regularizer": "early_dropout", "regularizer.dropout": [0.1, 0.2]} | cutoffs)
    if branches:
        grids.append({"regularizer": "early_stochastic_depth", "regularizer.drop_path": [0.3, 0.5]} | cutoffs)
    return grids


def _overfitting_grids(verdict: Verdict, noise: StandardNoise, branches: bool, dropouts: bool) -> list[Overrides]:
    best = verdict.rate or noise.rates[0]
    rates = sorted({round(best * factor, 3) for factor in (0.5, 1.0, 2.0) if best * factor < 0.8})
    alphas = {"regularizer.alpha": [0.5, 1.5, 2.5]}
    option = f"regularizer.{noise.option}"
    rdrop = "rdrop" if noise.option == "dropout" else "rdrop_stochastic_depth"
    grids: list[Overrides] = [
        {"regularizer": noise.regularizer, option: rates},
        {"regularizer": rdrop, option: best} | alphas,
        {"regularizer": f"late_{noise.regularizer}", option: rates[1:], "regularizer.cutoff_share": 0.166667},
    ]
    if branches and noise.option == "dropout":
        grids.append({"regularizer": "stochastic_depth,late_stochastic_depth", "regularizer.drop_path": [0.1, 0.2]})
    if dropouts and noise.option == "drop_path":
        grids.append({"regularizer": "dropout", "regularizer.dropout": 0.1})
    return grids


def count_trials(content: dict[str, Any]) -> int:
    """Trials of a sweep file written here."""
    seeds = content["repeat"]
    total = 0
    for grid in content["grids"]:
        product = 1
        for value in grid["overrides"].values():
            product *= len(value) if isinstance(value, list) else str(value).count(",") + 1
        total += product * seeds
    return total
