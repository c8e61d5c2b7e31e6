"""Image classification: timm's models on resident or streamed images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdrop_exp.config.options import Dataset, Options
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
        presets="resnet_micro_8 or vit_tiny",
        preview=_preview,
        fingerprint=_fingerprint,
        load=_load,
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


def _build(o: Options, spec: Spec, device: torch.device) -> tuple[nn.Module, InstalledNoise]:
    from rdrop_exp.models.build import build_network

    return build_network(o, classes=spec.classes, channels=spec.channels, image_size=spec.image_size, device=device)


def _meter(o: Options, data: Data, prefix: str) -> Meter:
    from rdrop_exp.tasks.meters import AccuracyMeter

    return AccuracyMeter(prefix, networks=2 if o.peer.name else 1)
