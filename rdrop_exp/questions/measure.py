"""Measures: what an expectation is about (`on`), whether more of it is better, and its value for one trial.

    test/NAME, val/NAME   of the weights that the trial chose
    train/NAME            over the last epoch
    best_epoch            of the chosen weights; overfit_epoch: the epoch with the lowest validation loss
    analysis/NAME, grad_norm, rate/NAME, lr   columns of metrics.jsonl, averaged over training

With `at: [from, to]`, shares of training, the mean of the rows of metrics.jsonl in that window.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdrop_exp.config import schema
from rdrop_exp.config.regularizer import RATES
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.runs.folder import read_rows

Window = tuple[float, float]
"""From and to, as shares of training."""

EPOCHS = ("best_epoch", "overfit_epoch")
METRICS = (
    "accuracy", "loss", "accuracy_peer", "loss_peer", "f1", "matthews", "pearson", "spearman", "perplexity", "bleu",
    "rouge1", "rouge2", "rougeL",
)  # fmt: skip
MONTE_CARLO = ("ece", "accuracy_mc", "loss_mc", "ece_mc")
EVALUATED = (
    *(f"{part}/{name}" for part in ("test", "val") for name in METRICS),
    *(f"test/{name}" for name in MONTE_CARLO),
)
TRAINED = tuple(
    f"train/{name}"
    for name in ("loss", "cross_entropy", "squared_error", "binary_cross_entropy", "consistency", "accuracy")
)
COLUMNS = ("grad_norm", "lr", *(f"rate/{rate}" for rate in RATES))
ANALYSES = tuple(
    f"analysis/{name}"
    for name in (
        "gradient_norm", "full_gradient_norm", "squared_bias", "variance", "direction_variance", "direction_error",
        "model_distance", "relative_distance", "divergence", "inconsistency", "ece", "ece_mc", "accuracy",
        "accuracy_mc",
    )
)  # fmt: skip
MEASURES = (*EVALUATED, *TRAINED, *EPOCHS, *COLUMNS, *ANALYSES)

_LOWER_IS_BETTER = ("loss", "entropy", "error", "perplexity", "nll", "mse", "mae", "rmse", "brier", "ece", "divergence")
_SHARES = ("accuracy", "top", "precision", "recall", "f1", "error")
_TIMES_100 = ("matthews", "pearson", "spearman", "rouge")
"""At most 1, shown times 100 without a sign of percent."""


def lower_is_better(name: str) -> bool:
    """Of a metric such as `cross_entropy`."""
    return any(word in name for word in _LOWER_IS_BETTER)


def is_share(name: str) -> bool:
    """Whether it is a share of one, which is shown in percent."""
    return name.startswith(_SHARES)


def scale_of(name: str) -> float:
    """100 for what is at most 1: shares, correlations and ROUGE; else 1."""
    return 100.0 if is_share(name) or name.startswith(_TIMES_100) else 1.0


def unit_of(name: str) -> str:
    """points, where a difference is one of percentages or of a score that goes to 100; else empty."""
    return "points" if scale_of(name) == 100 or name == "bleu" else ""


def shown(name: str, value: float) -> str:
    """`accuracy 97.21%`, `matthews 53.10`, `bleu 27.31`, `perplexity 12.3`."""
    if scale_of(name) == 100:
        return f"{name} {100 * value:.2f}{'%' if is_share(name) else ''}"
    return f"{name} {value:.2f}" if name == "bleu" else f"{name} {value:.4g}"


@dataclass(frozen=True, slots=True)
class Measure:
    name: str

    @property
    def sign(self) -> int:
        """1 where more is better, −1 where less is, 0 where neither is."""
        part, _, name = self.name.rpartition("/")
        judged = part in ("test", "val") or (part == "train" and name != "consistency")
        return (-1 if lower_is_better(name) else 1) if judged else 0

    @property
    def scale(self) -> float:
        return scale_of(self.name.rpartition("/")[2])

    @property
    def unit(self) -> str:
        return "epochs" if self.name in EPOCHS else unit_of(self.name.rpartition("/")[2])


def parse_measure(name: str, where: str) -> Measure:
    """`OptionError`, beginning with `where`, for a measure that no trial has."""
    if name not in MEASURES:
        raise OptionError(f"{where}={schema.shown(name)} is not a measure{nearest(name, MEASURES)}")
    return Measure(name)


def lacking(measure: Measure, options: Iterable[Mapping[str, Any]]) -> str:
    """The option that must be set for a trial to have the measure, if none of these trials sets it; else empty."""
    needs = {"analysis/": ("analysis", "every"), "grad_norm": ("optimizer", "clip")}
    group, key = next((path for start, path in needs.items() if measure.name.startswith(start)), ("", ""))
    return f"{group}.{key}" if group and not any((o.get(group) or {}).get(key) for o in options) else ""


def value(
    measure: Measure, metrics: Mapping[str, Any], best_epoch: float | None, folder: Path, at: Window | None = None
) -> float | None:
    """A trial's value in the unit of the measure; None where it is missing or not finite.

    `metrics` and `best_epoch` are those of its result.json; anything else is read from metrics.jsonl in `folder`.
    """
    name = measure.name
    if name == "best_epoch":
        found = best_epoch
    elif name == "overfit_epoch":
        rows = [(loss, epoch) for row in read_rows(folder) if (loss := _number(row, "val/loss")) is not None
                and (epoch := _number(row, "epoch")) is not None]  # fmt: skip
        found = min(rows)[1] if rows else None
    elif at is None and name.startswith(("test/", "val/", "train/")):
        found = _number(metrics, name)
    else:
        found = _mean(folder, name, at or (0.0, 1.0))
    return found * measure.scale if found is not None and math.isfinite(found) else None


def _mean(folder: Path, name: str, window: Window) -> float | None:
    low, high = window
    values = [
        v
        for row in read_rows(folder)
        if (v := _number(row, name)) is not None
        and (progress := _number(row, "progress")) is not None
        and (low < progress <= high or progress == low == 0)
    ]
    return math.fsum(values) / len(values) if values else None


def _number(values: Mapping[str, Any], name: str) -> float | None:
    number = values.get(name)
    good = isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < 1e300
    return float(number) if good else None  # type: ignore[arg-type]
