"""Meters of text classification, regression and multi-label classification.

Outputs stay on the device until the set has been read; the metrics are computed on the CPU.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rdrop_exp.data.batch import Batch
from rdrop_exp.tasks import metrics
from rdrop_exp.tasks.losses import TASK_LOSSES
from rdrop_exp.tasks.meters import in_set_order
from rdrop_exp.tasks.task import Gather, Meter
from rdrop_exp.text.tokens import TokenData


class TextMeter(Meter):
    """Keeps outputs, targets and losses of all items."""

    loss = "cross_entropy"

    def __init__(self, data: TokenData, prefix: str) -> None:
        self.data, self.prefix = data, prefix
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, network: nn.Module, outputs: Tensor, batch: Batch) -> None:
        outputs = outputs.float()
        self.kept.append((outputs, batch.targets, TASK_LOSSES[self.loss](outputs, batch.targets)))

    def merge(self, gather: Gather) -> None:
        outputs, targets, losses = (gather.interleaved(torch.cat(part)) for part in zip(*self.kept, strict=True))
        self.kept = [(outputs, targets, losses)]

    def row(self) -> dict[str, float]:
        outputs, targets, losses = self.all()
        values = {"loss": losses.double().mean().item()} | self.metrics(outputs, targets)
        return {f"{self.prefix}/{name}": value for name, value in values.items()}

    def all(self) -> tuple[Tensor, Tensor, Tensor]:
        """(items, …) outputs, targets and losses on the CPU, in the set's order."""
        outputs, targets, losses = (torch.cat(part).cpu() for part in zip(*self.kept, strict=True))
        return tuple(in_set_order(values, self.data, self.prefix) for values in (outputs, targets, losses))  # type: ignore[return-value]

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        raise NotImplementedError

    def items(self) -> Tensor:
        raise NotImplementedError


class ClassMeter(TextMeter):
    """Accuracy, F1 and Matthews correlation of classes; an item is correct or not."""

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        predicted, true = outputs.argmax(-1).numpy(), targets.numpy()
        row = {"accuracy": metrics.accuracy(predicted, true), "f1": metrics.f1(predicted, true, outputs.shape[-1])}
        return row | {"matthews": metrics.matthews(predicted, true)}

    def items(self) -> Tensor:
        outputs, targets, _ = self.all()
        return outputs.argmax(-1) == targets


class NumberMeter(TextMeter):
    """Pearson and Spearman correlation of numbers; an item has its squared error."""

    loss = "squared_error"

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        predicted, true = outputs[:, 0].numpy(), targets.numpy()
        return {"pearson": metrics.pearson(predicted, true), "spearman": metrics.spearman(predicted, true)}

    def items(self) -> Tensor:
        return self.all()[2]


class SetMeter(TextMeter):
    """F1 and the share of items whose labels are all right; an item has the share of its labels that are."""

    loss = "binary_cross_entropy"

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        predicted, true = (outputs > 0).long().numpy(), targets.long().numpy()
        return {"f1": metrics.f1(predicted, true, outputs.shape[-1]), "accuracy": metrics.accuracy(predicted, true)}

    def items(self) -> Tensor:
        outputs, targets, _ = self.all()
        return ((outputs > 0) == (targets > 0.5)).float().mean(-1)


METERS: dict[str, Callable[[TokenData, str], TextMeter]] = {"class": ClassMeter, "value": NumberMeter, "set": SetMeter}
