"""What all tasks on texts share: data, models and the count of tokens."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.tasks.task import Task, kind_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rdrop_exp.data.batch import Data
    from rdrop_exp.data.datasets import Preview
    from rdrop_exp.noise.install import InstalledNoise


def text_task(**differing: Any) -> Task:
    """A task on texts, from what differs between them; cross-entropy per item or token unless it is given."""
    shared: dict[str, Any] = {
        "higher_is_better": True,
        "loss": "cross_entropy",
        "divergence": "kl",
        "column": "",
        "unit": "tokens",
        "preview": preview,
        "fingerprint": fingerprint,
        "load": load,
        "check_model": check_model,
        "build": build,
        "units_per_step": tokens_per_step,
    }
    return Task(**(shared | differing))


def fingerprint(dataset: Dataset) -> str:
    """Of one's own files, or the name of a published data set."""
    from rdrop_exp.text.readers import text_fingerprint

    return text_fingerprint(dataset)


def preview(dataset: Dataset) -> Preview:
    """What a text data set holds."""
    from rdrop_exp.data.datasets import Preview
    from rdrop_exp.text.readers import read

    texts = read(dataset)
    return Preview(texts.summary, texts.fingerprint)


def load(o: Options, device: torch.device) -> Data:
    """Any text data set."""
    from rdrop_exp.text.load import load_text

    if o.dataset.label_smoothing and kind_of(o.dataset) in ("value", "set"):
        raise OptionError(
            f"dataset.label_smoothing={o.dataset.label_smoothing:g} is for classes, which this task lacks"
        )
    return load_text(o, device)


def check_model(o: Options, data: Preview) -> None:
    """Any transformers model."""
    import torch

    from rdrop_exp.models.text import TextModel, create, refuse_peer
    from rdrop_exp.noise.install import install_noise
    from rdrop_exp.text.tokens import TextSpec

    refuse_peer(o)
    kind, tokenizer = kind_of(o.dataset), SimpleNamespace(size=300, pad=0, begin=1, end=2, kind="bpe")
    bare = dataclasses.replace(o, model=dataclasses.replace(o.model, pretrained=False, checkpoint=""))
    with torch.device("meta"):
        spec = TextSpec(kind, 2, cast(Any, tokenizer), o.dataset.max_length)
        install_noise(TextModel(create(bare, spec), kind), o.regularizer, o.model.sites)


def build(o: Options, spec: Any, device: torch.device) -> tuple[nn.Module, InstalledNoise]:
    """Any transformers model."""
    from rdrop_exp.models.text import build_text_network

    return build_text_network(o, spec, device)


def tokens_per_step(o: Options, data: Any) -> float:
    """Without padding, on average over an epoch."""
    return float(data.tokens_per_step())
