"""Language modelling: the next token at every position of a block."""

from typing import Any

from rdrop_exp.config.options import Options
from rdrop_exp.tasks.task import Meter, Task
from rdrop_exp.tasks.texts import text_task


def task() -> Task:
    return text_task(name="language modelling", metric="perplexity", higher_is_better=False, meter=_meter)


def _meter(o: Options, data: Any, prefix: str) -> Meter:
    from rdrop_exp.tasks.token_meters import TokenMeter

    return TokenMeter(data, prefix)
