"""Texts to classes, numbers (regression) or sets of classes (multi-label)."""

from typing import Any

from rdrop_exp.config.options import Options
from rdrop_exp.tasks.task import Meter, Task, kind_of
from rdrop_exp.tasks.texts import text_task


def task(options: Options) -> Task:
    from rdrop_exp.text.readers import GLUE

    kind = kind_of(options.dataset)
    name, metric, loss, divergence = {
        "class": ("text classification", "accuracy", "cross_entropy", "kl"),
        "value": ("text regression", "pearson", "squared_error", "mse"),
        "set": ("multi-label classification", "f1", "binary_cross_entropy", "bernoulli"),
    }[kind]
    return text_task(
        name=name,
        metric=GLUE[options.dataset.name].metric if options.dataset.name in GLUE else metric,
        loss=loss,
        divergence=divergence,
        column="accuracy" if kind == "class" else "",
        meter=_meter,
    )


def _meter(o: Options, data: Any, prefix: str) -> Meter:
    from rdrop_exp.tasks.text_meters import METERS

    return METERS[data.spec.kind](data, prefix)
