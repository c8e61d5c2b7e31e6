"""Token sequences of different lengths in one tensor on the device; a batch is gathered and padded there."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdrop_exp.config.options import Options
from rdrop_exp.data.batch import Batch
from rdrop_exp.data.shard import Shard, uncounted
from rdrop_exp.text.batches import by_items, by_tokens, cut
from rdrop_exp.text.texts import Texts
from rdrop_exp.text.tokenizers import Tokenizer

MULTIPLE = 8
"""Lengths of batches are rounded up to a multiple of this: few shapes, and aligned matrix products."""


def padded(lengths: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Lengths rounded up to `MULTIPLE`, but to at most `limit`, which may be all that the model allows."""
    return np.minimum(-(-lengths // MULTIPLE) * MULTIPLE, limit)


class Ragged:
    """Sequences of different lengths as one flat tensor."""

    def __init__(
        self, flat: NDArray[np.int32], lengths: NDArray[np.int64], starts: NDArray[np.int64] | None = None
    ) -> None:
        """Without `starts`, one sequence begins where the last one ends."""
        starts = np.cumsum(lengths) - lengths if starts is None else starts
        self.lengths = lengths
        self.flat = torch.from_numpy(flat)
        self.starts, self.counts = torch.from_numpy(starts), torch.from_numpy(lengths)

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int]]) -> "Ragged":
        flat, lengths = array("i"), array("q")
        for ids in sequences:
            flat.extend(ids)
            lengths.append(len(ids))
        return cls(np.array(flat, np.int32), np.array(lengths, np.int64))

    def to(self, device: torch.device) -> "Ragged":
        self.flat, self.starts, self.counts = (x.to(device) for x in (self.flat, self.starts, self.counts))
        return self

    def gather(self, items: Tensor, length: int, fill: int) -> tuple[Tensor, Tensor]:
        """(items, length) int64 tokens, `fill` after the end, and a bool mask of what is not fill."""
        columns = torch.arange(length, device=self.flat.device)
        mask = columns < self.counts[items][:, None]
        positions = (self.starts[items][:, None] + columns).clamp_(max=len(self.flat) - 1)
        return self.flat[positions].long().masked_fill_(~mask, fill), mask


@dataclass(frozen=True, slots=True)
class TextSpec:
    """The shape of the task, which the model is built for."""

    kind: str
    """As `Texts.kind`."""
    classes: int
    """Outputs of a classifier; 1 for a number."""
    tokenizer: Tokenizer
    length: int
    """Most tokens of an item."""


class TokenData:
    """`Data` of a text task. Inputs are a dictionary of (batch, length) tensors, as transformers names them."""

    def __init__(
        self, texts: Texts, spec: TextSpec, stores: dict[str, Ragged], options: Options, device: torch.device, note: str
    ) -> None:
        """`stores`: "input", and perhaps "segment" and "target", over all items of the data set."""
        self.texts, self.spec, self.options, self.device = texts, spec, options, device
        self.shard = Shard()
        self.sets = texts.sets
        self.stores = {name: store.to(device) for name, store in stores.items()}
        self.labels = torch.from_numpy(texts.labels).to(device) if len(texts.labels) else None
        shift = {"input": texts.kind == "language", "target": True}
        """Tokens of each store that are targets only: targets are shifted by one."""
        self.shift = {name: int(shift.get(name, False)) for name in stores}
        self.widths = {name: padded(s.lengths - self.shift[name], spec.length) for name, s in stores.items()}
        self.lengths = np.max(list(self.widths.values()), axis=0)
        """Padded, of inputs and targets."""
        d = options.dataset
        steps = len(self._train_batches(0))
        self.steps_per_epoch = min(steps, d.limit or steps)
        self.sizes = {name: len(items) for name, items in self.sets.items()}
        mean = self.lengths[self.sets["train"]].mean()
        o, items = options.optimizer, torch.from_numpy(self.sets["train"])
        self.batch_size = max(1, round(o.batch_tokens / mean)) if o.batch_tokens else o.batch_size
        self.train_items = items[: self.batch_size] if d.repeat_batch else items
        self.summary = f"{texts.summary}; {note}"
        self.counts, self.fingerprint = texts.counts, texts.fingerprint

    def _train_batches(self, epoch: int) -> list[NDArray[np.int64]]:
        d, o, items = self.options.dataset, self.options.optimizer, self.sets["train"]
        lengths, epoch = self.lengths[items], 0 if d.repeat_batch else epoch
        if o.batch_tokens:
            batches = by_tokens(lengths, o.batch_tokens, self.options.seed, epoch)
        else:
            batches = by_items(lengths, min(o.batch_size, len(items)), self.options.seed, epoch)
        return [items[batch] for batch in (batches[:1] * len(batches) if d.repeat_batch else batches)]

    def train(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for items in self._train_batches(epoch)[start : self.steps_per_epoch]:
            part = items[self.shard.rows(len(items))]
            yield self.batch(part) if len(part) else uncounted(self.batch(items[:1]))

    def tokens_per_step(self) -> float:
        """Tokens of a training batch without padding, inputs and targets, on average over an epoch."""
        items = np.concatenate(self._train_batches(0)[: self.steps_per_epoch])
        lengths = [store.lengths[items] - self.shift[name] for name, store in self.stores.items() if name != "segment"]
        return float(np.sum(lengths)) / self.steps_per_epoch

    def validation(self) -> Iterator[Batch]:
        return map(self.batch, self.shard.evaluated(self.evaluation_batches("validation")))

    def test(self) -> Iterator[Batch]:
        return map(self.batch, self.shard.evaluated(self.evaluation_batches("test")))

    def given(self, batches: list[Tensor], draws: int | None) -> Iterator[Batch]:
        return (self.batch(items.numpy()) for items in batches)  # nothing is augmented

    def evaluation_batches(self, name: str) -> list[NDArray[np.int64]]:
        """Every item of a set once, sorted by length; twice the training size, as no activations are stored."""
        o, items = self.options.optimizer, self.sets[name]
        order = items[np.argsort(self.lengths[items], kind="stable")]
        if o.batch_tokens:
            batches = cut(order, self.lengths, 2 * o.batch_tokens)
        else:
            batches = [order[i : i + 2 * o.batch_size] for i in range(0, len(order), 2 * o.batch_size)]
        return batches[: self.options.dataset.limit]

    def batch(self, positions: NDArray[np.int64]) -> Batch:
        """The batch of these items."""
        items = torch.from_numpy(positions).to(self.device, non_blocking=True)
        pad, kind = self.spec.tokenizer.pad, self.spec.kind
        if kind == "language":
            tokens, mask = self._gather("input", items, positions, pad)
            inputs = {"input_ids": tokens[:, :-1], "attention_mask": mask[:, 1:].long()}
            return Batch(inputs, tokens[:, 1:], mask[:, 1:])
        tokens, mask = self._gather("input", items, positions, pad)
        inputs = {"input_ids": tokens, "attention_mask": mask.long()}
        if "segment" in self.stores:
            inputs["token_type_ids"] = self._gather("segment", items, positions, 0)[0]
        if kind != "pair":
            assert self.labels is not None
            return Batch(inputs, self.labels[items])
        target, kept = self._gather("target", items, positions, pad)
        inputs |= {"decoder_input_ids": target[:, :-1], "decoder_attention_mask": kept[:, 1:].long()}
        return Batch(inputs, target[:, 1:], kept[:, 1:])

    def _gather(self, store: str, items: Tensor, positions: NDArray[np.int64], fill: int) -> tuple[Tensor, Tensor]:
        width = int(self.widths[store][positions].max()) + self.shift[store]
        return self.stores[store].gather(items, width, fill)
