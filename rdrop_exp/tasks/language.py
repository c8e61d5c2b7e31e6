"""Language modelling: the next token at every position of a block."""

from __future__ import annotations

from typing import Any

from rdrop_exp.config.options import Options
from rdrop_exp.tasks import classification
from rdrop_exp.tasks.task import Meter, Task


def task(options: Options) -> Task:
    return Task(
        name="language modelling",
        metric="perplexity",
        higher_is_better=False,
        loss="cross_entropy",
        divergence="kl",
        column="",
        unit="tokens",
        preview=classification.preview,
        fingerprint=classification.fingerprint,
        load=classification.load,
        check_model=classification.check_model,
        build=classification.build,
        meter=_meter,
        units_per_step=classification.tokens_per_step,
    )


def _meter(o: Options, data: Any, prefix: str) -> Meter:
    from rdrop_exp.tasks.token_meters import TokenMeter

    return TokenMeter(data, prefix)
