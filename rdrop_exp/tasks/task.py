"""What differs between images, text classification, language modelling, …: data, model, loss and metrics.

Importing this costs nothing: the functions of a task import torch, timm and transformers when they are called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.options import Options

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from rdrop_exp.data.batch import Batch, Data
    from rdrop_exp.data.datasets import Preview
    from rdrop_exp.noise.install import InstalledNoise


class Gather(Protocol):
    """How the processes of a trial put together what each has measured on its part of a set."""

    def total(self, value: Any) -> Any:
        """A number or tensor, summed over the processes."""
        ...

    def interleaved(self, values: Any) -> Any:
        """A list, or a tensor (items, …), of one process → of all, in the order of the evaluation batches."""
        ...


class Meter(Protocol):
    """Measures one set, batch by batch, noise off."""

    def add(self, network: nn.Module, outputs: Tensor, batch: Batch) -> None:
        """Take in a batch and the network's outputs for it; never waits for the device."""
        ...

    def merge(self, gather: Gather) -> None:
        """Several processes: take in what the others have measured, as if this one had seen all batches."""
        raise NotImplementedError

    def row(self) -> dict[str, float]:
        """The metrics of all batches, with the prefix: val/loss, val/accuracy, …"""
        ...

    def items(self) -> Tensor:
        """(items,) on the CPU, in the set's own order: how the network does on each; bool (correct) or float32."""
        ...

    def generated(self) -> list[dict[str, str]]:
        """Source, reference and generated text of each item, in the set's own order; empty: this generates none."""
        return []


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One kind of task."""

    name: str
    """In messages."""
    metric: str
    """What is selected by and compared, without val/ or test/."""
    higher_is_better: bool
    loss: str
    """Key of `losses.TASK_LOSSES`."""
    divergence: str
    """Key of `DIVERGENCES`: what regularizer.divergence=kl means for this task's outputs."""
    column: str
    """What train/ rows measure beside losses: accuracy, or empty."""
    unit: str
    """What speed counts: images or tokens."""
    preview: Callable[[Dataset], Preview]
    """What the data set holds, without torch; `OptionError` where it is missing or unusable."""
    fingerprint: Callable[[Dataset], str]
    """Of one's own files, or the name of a published data set; quick where it can be."""
    load: Callable[[Options, torch.device], Data]
    check_model: Callable[[Options, Preview], None]
    """Builds the model without memory where it can; `OptionError` for what timm, transformers or it itself refuse.

    Of what `preview` gave, the sizes are known for models of one's own alone.
    """
    build: Callable[[Options, Any, torch.device], tuple[nn.Module, InstalledNoise]]
    """(options, data.spec, device): the network with its initial weights, and its noise."""
    meter: Callable[[Options, Data, str], Meter]
    """(options, data, "val" or "test")."""
    units_per_step: Callable[[Options, Data], float]
    """Images or tokens of an optimizer step, on average."""
    signature: Callable[[], str] | None = None
    """How the metric is computed, in its tool's notation, where it has one (BLEU)."""

    @property
    def classifies(self) -> bool:
        """Whether every item has one class, as accuracy and calibration suppose."""
        return self.column == "accuracy"

    def selection(self, options: Options) -> tuple[str, bool]:
        """What validation selects by, and whether higher is better."""
        return ("loss", False) if options.validate == "loss" else (self.metric, self.higher_is_better)


def kind_of(dataset: Dataset) -> str:
    """The kind of target, as `Texts.kind`; image for everything that is not text."""
    from rdrop_exp.text.readers import GLUE, READERS
    from rdrop_exp.text.toy import TOYS

    if dataset.name not in READERS:
        return "image"
    if dataset.name in GLUE:
        return GLUE[dataset.name].kind
    if dataset.name in TOYS:
        return TOYS[dataset.name][1]
    others = {"text_csv": dataset.label_kind, "wikitext2": "language", "wikitext103": "language"}
    return others.get(dataset.name, "pair")
