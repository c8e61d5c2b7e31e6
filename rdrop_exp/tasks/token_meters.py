"""Meters of tasks whose targets are tokens: perplexity, and BLEU or ROUGE of generated text."""

from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from rdrop_exp.config.options import Generate
from rdrop_exp.data.batch import Batch
from rdrop_exp.models.generation import generate
from rdrop_exp.tasks import metrics
from rdrop_exp.tasks.losses import cross_entropy
from rdrop_exp.tasks.meters import evaluated, in_set_order
from rdrop_exp.tasks.task import Gather, Meter
from rdrop_exp.text.tokens import TokenData


class TokenMeter(Meter):
    """Mean loss of all tokens and its perplexity; an item has the mean loss of its tokens."""

    def __init__(self, data: TokenData, prefix: str) -> None:
        self.data, self.prefix = data, prefix
        self.sums: list[Tensor] = []
        self.counts: list[Tensor] = []

    def add(self, network: nn.Module, outputs: Tensor, batch: Batch) -> None:
        assert batch.mask is not None
        # Item by item: the log-softmax of a whole batch would be as large as its outputs.
        losses = [cross_entropy(out.float(), tokens) for out, tokens in zip(outputs, batch.targets, strict=True)]
        self.sums.append(torch.stack(losses).masked_fill(~batch.mask, 0).sum(1))
        self.counts.append(batch.mask.sum(1))

    def merge(self, gather: Gather) -> None:
        self.sums = [gather.interleaved(torch.cat(self.sums))]
        self.counts = [gather.interleaved(torch.cat(self.counts))]

    def row(self) -> dict[str, float]:
        loss, tokens = torch.cat(self.sums).cpu().double().sum().item(), torch.cat(self.counts).sum().item()
        values = {"loss": loss / tokens, "perplexity": metrics.perplexity(loss, tokens)} | self.scores()
        return {f"{self.prefix}/{name}": value for name, value in values.items()}

    def items(self) -> Tensor:
        return in_set_order((torch.cat(self.sums) / torch.cat(self.counts)).cpu(), self.data, self.prefix)

    def scores(self) -> dict[str, float]:
        return {}


class GenerationMeter(TokenMeter):
    """Beside the loss of the reference, scores of the text that the network generates; an item has its own score."""

    def __init__(self, data: TokenData, prefix: str, options: Generate, score: Literal["bleu", "rouge"]) -> None:
        super().__init__(data, prefix)
        self.options, self.score = options, score
        self.tokens: list[list[int]] = []

    def add(self, network: nn.Module, outputs: Tensor, batch: Batch) -> None:
        """As of `TokenMeter`, but the search waits for the device at every token."""
        super().add(network, outputs, batch)
        self.tokens += generate(network, batch.inputs, self.options, self.data.spec.tokenizer).tolist()

    def merge(self, gather: Gather) -> None:
        super().merge(gather)
        self.tokens = gather.interleaved(self.tokens)

    @cached_property
    def texts(self) -> tuple[list[str], list[str]]:
        """Generated texts and references, in the set's own order."""
        hypotheses = self.data.spec.tokenizer.decode(self.tokens)
        order = in_set_order(torch.arange(len(hypotheses)), self.data, self.prefix).tolist()
        return [hypotheses[i] for i in order], [self.data.texts.second[i] for i in self._positions()]

    @cached_property
    def rouge(self) -> dict[str, np.ndarray]:
        return metrics.rouge_items(*self.texts)

    def scores(self) -> dict[str, float]:
        if self.score == "bleu":
            return {"bleu": metrics.bleu_of(*self.texts)[0]}
        return {name: float(values.mean(dtype=np.float64)) for name, values in self.rouge.items()}

    def items(self) -> Tensor:
        values = metrics.sentence_bleu(*self.texts) if self.score == "bleu" else self.rouge["rougeL"]
        return torch.from_numpy(values)

    def generated(self) -> list[dict[str, str]]:
        sources = [self.data.texts.first[i] for i in self._positions()]
        rows = zip(sources, *self.texts, strict=True)
        return [{"source": source, "reference": right, "generated": text} for source, text, right in rows]

    def _positions(self) -> list[int]:
        """Of the items in the data set, in the set's own order."""
        return in_set_order(evaluated(self.data, self.prefix), self.data, self.prefix).tolist()
