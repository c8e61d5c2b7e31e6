"""The settings that are raced: regularizers by regime, and the levels of their rates, alphas and cutoffs.

Each axis starts at the preset's value and is halved and doubled. Sources: Liu et al. 2023 (arXiv 2303.01500) for early
and late noise, R-Drop (arXiv 2106.14448) for alpha.
"""

from dataclasses import replace

from rdrop_exp.choose.plan import Axis, Family, Regime

DROPOUT = Axis("regularizer.dropout", (0.025, 0.05, 0.1, 0.2, 0.4), 2)
DROP_PATH = Axis("regularizer.drop_path", (0.025, 0.05, 0.1, 0.2, 0.4), 2)
ALPHA = Axis("regularizer.alpha", (0.125, 0.25, 0.5, 1.0, 2.0, 4.0), 2)
CUTOFF = Axis("regularizer.cutoff_share", (0.041667, 0.083333, 0.166667, 0.333333, 0.666667), 2)

FAMILIES = (
    Family("dropout", (DROPOUT,)),
    Family("stochastic_depth", (DROP_PATH,)),
    Family("rdrop", (DROPOUT, ALPHA), 2.0),
    Family("rdrop_stochastic_depth", (DROP_PATH, ALPHA), 2.0),
    Family("late_dropout", (DROPOUT, CUTOFF)),
    Family("late_stochastic_depth", (DROP_PATH, CUTOFF)),
    Family("early_dropout", (DROPOUT, CUTOFF)),
    Family("early_stochastic_depth", (DROP_PATH, CUTOFF)),
)


def families(
    regime: Regime, dropouts: bool = True, branches: bool = True, steps: int = 1_000_000
) -> tuple[Family, ...]:
    """To race in this regime, for a model with these noise sites; both regimes' where it is not known.

    Without sites for dropout inside the model, stochastic depth is what there is; without branches either, dropout
    before the classifier. A cutoff must be at least two of the training's `steps` from its start.
    """
    dropouts = dropouts or not branches
    kept = []
    for family in FAMILIES:
        early, depth, rdrop = (word in family.name for word in ("early", "stochastic_depth", "rdrop"))
        if (depth and not branches) or (not depth and not dropouts):
            continue
        if rdrop and depth and dropouts:  # one kind of noise is enough for R-Drop
            continue
        if regime == Regime.INCONCLUSIVE or early == (regime == Regime.UNDERFITTING):
            kept.append(replace(family, axes=tuple(_possible(axis, steps) for axis in family.axes)))
    return tuple(kept)


def _possible(axis: Axis, steps: int) -> Axis:
    if axis.option != CUTOFF.option:
        return axis
    low = next((i for i, share in enumerate(axis.values) if share * steps >= 2), len(axis.values) - 1)
    return replace(axis, lowest=low)
