"""Translation and summarization: a text from a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rdrop_exp.config.options import Options
from rdrop_exp.tasks import texts
from rdrop_exp.tasks.task import Meter, Task

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rdrop_exp.noise.install import InstalledNoise


def task(options: Options) -> Task:
    summaries = _summarizes(options)
    return texts.text_task(
        name="summarization" if summaries else "translation",
        metric="rougeL" if summaries else "bleu",
        build=build,
        meter=_meter,
        signature=None if summaries else _bleu_signature,
    )


def _summarizes(options: Options) -> bool:
    return options.dataset.name == "summaries"


def _bleu_signature() -> str:
    from rdrop_exp.tasks.metrics import bleu_signature

    return bleu_signature()


def build(o: Options, spec: Any, device: torch.device) -> tuple[nn.Module, InstalledNoise]:
    """An encoder-decoder that can generate outputs as long as the options ask for."""
    from rdrop_exp.models.generation import check_generation
    from rdrop_exp.text.tokenizers import require

    require("rouge_score" if _summarizes(o) else "sacrebleu")
    network, noise = texts.build(o, spec, device)
    check_generation(o, network)
    return network, noise


def _meter(o: Options, data: Any, prefix: str) -> Meter:
    from rdrop_exp.tasks.token_meters import GenerationMeter, TokenMeter

    if prefix == "val" and o.validate == "loss":
        return TokenMeter(data, prefix)
    return GenerationMeter(data, prefix, o.generate, "rouge" if _summarizes(o) else "bleu")
