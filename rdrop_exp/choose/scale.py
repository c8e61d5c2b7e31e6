"""How the task's metric is compared: as gains, so that more is better whatever the metric, and in which words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rdrop_exp.config.options import Options
from rdrop_exp.questions.measure import scale_of, unit_of
from rdrop_exp.tasks.task import Task, kind_of

SMALLEST = {"perplexity": 0.5, "loss": 0.01}
"""Smallest gain worth having, where a metric does not go to 100."""
USUAL = 0.4


@dataclass(frozen=True, slots=True)
class Scale:
    metric: str = "accuracy"
    higher_is_better: bool = True

    @property
    def smallest(self) -> float:
        """The default of --smallest."""
        return SMALLEST.get(self.metric, USUAL)

    @property
    def unit(self) -> str:
        return unit_of(self.metric) or self.metric

    def value(self, metrics: Mapping[str, Any], part: str) -> float | None:
        """Of "val" or "test", more is better; None where it is not finite."""
        value = (1 if self.higher_is_better else -1) * scale_of(self.metric) * float(metrics[f"{part}/{self.metric}"])
        return value if math.isfinite(value) else None

    def signed(self, gain: float) -> str:
        """As a difference of the metric, without its unit: lower is better for a perplexity."""
        return f"{gain if self.higher_is_better else -gain:+.{self.digits}f}".replace("-", "−")

    def interval(self, low: float, high: float) -> str:
        """` [+0.24, +0.80]`, with a space in front; empty if there is none."""
        bounds = (low, high) if self.higher_is_better else (high, low)
        return " [{}, {}]".format(*map(self.signed, bounds)) if math.isfinite(low) and math.isfinite(high) else ""

    def plain(self, gain: float) -> str:
        """A value of the metric."""
        return f"{gain if self.higher_is_better else -gain:.{self.digits}f}"

    def size(self, value: float) -> str:
        """Without a sign: `0.6 points`."""
        return f"{value:.{self.digits - 1}f} {self.unit}"

    @property
    def digits(self) -> int:
        return 4 if self.metric == "loss" else 2


def scale_of_task(task: Task, o: Options) -> Scale:
    """The task's metric; the loss where validation does not measure it, to save the time of generating texts."""
    if kind_of(o.dataset) == "pair" and o.validate == "loss":
        return Scale("loss", False)
    return Scale(task.metric, task.higher_is_better)
