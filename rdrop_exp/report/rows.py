"""The measures of one group over its seeds, and its paired differences to the baseline."""

import math
from collections.abc import Callable

from rdrop_exp.report.comparison import Difference, Row, Summary
from rdrop_exp.report.groups import Group
from rdrop_exp.report.metric import Metric
from rdrop_exp.report.trial import Status, Trial

TASK_LOSSES = ("cross_entropy", "squared_error", "binary_cross_entropy")
"""Training losses without the consistency loss."""


def make_row(group: Group, metric: Metric) -> Row:
    finished = group.having(Status.FINISHED)

    def over_seeds(value: Callable[[Trial], float | None], scale: float = 1.0) -> Summary:
        values = {t.key: scale * v for t in finished if (v := value(t)) is not None and math.isfinite(v)}
        return Summary(values=values)

    def gap(trial: Trial) -> float | None:
        losses = [f"train/{loss}" for loss in TASK_LOSSES if metric.name == "loss"]
        loss = next((name for name in losses if name in trial.metrics), f"train/{metric.name}")
        train, test = trial.metrics.get(loss), trial.metrics.get(f"test/{metric.name}")
        if train is None or test is None:
            return None
        return train - test if metric.higher_is_better else test - train

    return Row(
        group=group,
        val=over_seeds(lambda t: t.metrics.get(f"val/{metric.name}"), metric.scale),
        test=over_seeds(lambda t: t.metrics.get(f"test/{metric.name}"), metric.scale),
        train_loss=over_seeds(lambda t: t.metrics.get("train/loss")),
        gap=over_seeds(gap, metric.scale),
        seconds=over_seeds(lambda t: t.seconds),
        training_seconds=over_seeds(lambda t: t.seconds if t.training_seconds is None else t.training_seconds),
        speed=over_seeds(lambda t: t.speed),
    )


def paired(group: Summary, baseline: Summary) -> Difference:
    """Group minus baseline on what both have, in the order of the seeds; not judged yet."""
    shared = sorted(group.values.keys() & baseline.values.keys())
    return Difference(values={key: group.values[key] - baseline.values[key] for key in shared})
