"""Image classification: timm's models on resident or streamed images."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.options import Model, Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.tasks.task import Meter, Task

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rdrop_exp.data.batch import Data, Spec
    from rdrop_exp.data.datasets import Preview
    from rdrop_exp.noise.install import InstalledNoise


def task() -> Task:
    return Task(
        name="image classification",
        metric="accuracy",
        higher_is_better=True,
        loss="cross_entropy",
        divergence="kl",
        column="accuracy",
        unit="images",
        preview=_preview,
        fingerprint=_fingerprint,
        load=_load,
        check_model=_check_model,
        build=_build,
        meter=_meter,
        units_per_step=lambda o, data: o.optimizer.batch_size,
    )


def _preview(dataset: Dataset) -> Preview:
    from rdrop_exp.data.datasets import preview

    return preview(dataset)


def _fingerprint(dataset: Dataset) -> str:
    from rdrop_exp.data.fingerprint import fingerprint

    return fingerprint(dataset)


def _load(o: Options, device: torch.device) -> Data:
    from rdrop_exp.data.load import load_data

    return load_data(o.dataset, batch_size=o.optimizer.batch_size, seed=o.seed, device=device)


def _check_model(o: Options, data: Preview) -> None:
    import torch

    from rdrop_exp.models import other_models
    from rdrop_exp.models.build import create_network
    from rdrop_exp.noise.install import install_noise

    for group, part in (("model", o.model), ("peer", o.peer)):
        if not part.name:
            continue
        bare = dataclasses.replace(part, pretrained=False, checkpoint="")
        if ":" not in part.name:
            _refuse_text_model(o, part.name)
            with torch.device("meta"):
                network = create_network(bare, group, classes=10, channels=3)
                install_noise(network, o.regularizer, part.sites)
        elif data.classes and data.size:
            _try_other(bare, group, o, data)
        else:
            other_models.find(part.name, group)


def _try_other(part: Model, group: str, o: Options, data: Preview) -> None:
    """A model that is not timm's, on an image of zeros: without memory, or with it where that fails."""
    import torch

    from rdrop_exp.models.build import check_forward, create_network
    from rdrop_exp.noise.install import install_noise

    assert data.size
    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                network = create_network(
                    part, group, classes=data.classes, channels=data.channels, image_size=data.size
                )
                install_noise(network, o.regularizer, part.sites)
                image = torch.zeros(1, data.channels, data.size, data.size)
                check_forward(network, group, part.name, data.classes, image)
            return
        except Exception:
            if device == "cpu":
                raise


def _refuse_text_model(o: Options, name: str) -> None:
    """`OptionError` for a type of transformers that reads tokens; it is asked only where timm has no such model."""
    import timm

    if ":" in name or timm.is_model(name) or find_spec("transformers") is None:
        return
    from transformers.models.auto import modeling_auto

    types = ("CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "SEQUENCE_CLASSIFICATION")
    if any(name in getattr(modeling_auto, f"MODEL_FOR_{each}_MAPPING_NAMES") for each in types):
        raise OptionError(
            f"model.name={name} is a text model, but dataset={o.dataset.label or o.dataset.name} has images: choose an"
            " image model, for example model=resnet_micro_8"
        )


def _build(o: Options, spec: Spec, device: torch.device) -> tuple[nn.Module, InstalledNoise]:
    from rdrop_exp.models.build import build_network

    _refuse_text_model(o, o.model.name)
    return build_network(o, classes=spec.classes, channels=spec.channels, image_size=spec.image_size, device=device)


def _meter(o: Options, data: Data, prefix: str) -> Meter:
    from rdrop_exp.tasks.meters import AccuracyMeter

    return AccuracyMeter(prefix, networks=2 if o.peer.name else 1)
