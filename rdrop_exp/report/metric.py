"""Which measure is compared, which way is better, and how its values are written."""

from collections.abc import Iterable
from dataclasses import dataclass

from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.questions.measure import is_share, lower_is_better, scale_of, unit_of
from rdrop_exp.report.trial import Status, Trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """What is compared: `val/NAME` selects, `test/NAME` judges. Shares of one are shown in percent (`scale` 100)."""

    name: str
    higher_is_better: bool
    scale: float

    @property
    def unit(self) -> str:
        return f" {unit}" if (unit := unit_of(self.name)) else ""

    @property
    def percent(self) -> bool:
        """Correlations are shown times 100, too, but without the sign."""
        return is_share(self.name)

    @property
    def digits(self) -> int:
        return 2 if self.unit or self.name == "perplexity" else 4


def choose_metric(trials: Iterable[Trial], wanted: str = "") -> Metric:
    """The metric of that name (`accuracy` or `val/accuracy`); else that of the trials' task.

    Trials of earlier versions do not say it: accuracy, or else the first that is not a loss.
    """
    trials = list(trials)
    names = sorted({n for trial in trials for n in trial.metrics if trial.status == Status.FINISHED and "/" in n})
    measured = dict.fromkeys(n.split("/", 1)[1] for n in names if n.startswith(("val/", "test/")))
    own = {trial.metric: trial.higher_is_better for trial in trials if trial.metric}
    if wanted:
        name = wanted.split("/", 1)[-1]
        if measured and name not in measured:
            raise OptionError(f"--metric={wanted} was not measured by any trial{nearest(name, measured)}")
    else:
        preferred = [*own, "accuracy", *(n for n in measured if not lower_is_better(n)), *measured]
        name = next((n for n in preferred if n in measured), next(iter(own), "accuracy"))
    return Metric(name=name, higher_is_better=own.get(name, not lower_is_better(name)), scale=scale_of(name))


def number(value: float | None, metric: Metric) -> str:
    return "–" if value is None else f"{value:.{metric.digits}f}"


def signed(value: float, metric: Metric) -> str:
    """`+0.80 points`; a true minus sign, and no sign on what rounds to zero."""
    text = f"{value:+.{metric.digits}f}".replace("-", "−")
    return (text.lstrip("+−") if not text.strip("+−0.") else text) + metric.unit


def interval(bounds: tuple[float, float], metric: Metric) -> tuple[str, str]:
    """Both ends, with true minus signs."""
    low, high = (f"{bound:.{metric.digits}f}".replace("-", "−") for bound in bounds)
    return low, high
