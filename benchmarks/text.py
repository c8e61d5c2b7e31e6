"""Training steps of text models against a plain transformers loop on the same work: tokens per second.

    python benchmarks/text.py                       # a minute or two
    python benchmarks/text.py --rounds 20 --device cuda

bert    BERT of three layers (bert_micro), classes, 32 sentences; noise at all places of BERT's own dropout
marian  translation transformer of 2 + 2 layers (transformer_micro), 32 pairs; dropout as fairseq's, none in attention

`plain` is written as transformers' Trainer works: its collator, its model with its own dropout, its loss, clipping at
norm 1, fused AdamW, a schedule of the learning rate; R-Drop as its published code has it, in two forwards. Both sides
have the same weights, items of each batch, options and vocabulary (8,000 tokens), one thread, and take turns in one
process. A step goes from the tokens of the items to new weights; with --given, from tensors that are made beforehand.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import yaml
from clock import seconds
from torch import Tensor, nn

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.data.batch import Batch, items
from rdrop_exp.models.text import build_text_network
from rdrop_exp.text.load import load_text
from rdrop_exp.train.losses import loss
from rdrop_exp.train.optim import make_optimizer

MODELS = Path(__file__).parents[1] / "conf" / "model"
RATE, ALPHA, VOCABULARY = 0.1, 1.0, 8000
CASES: dict[str, dict[str, Any]] = {
    "bert": {
        "preset": "bert_micro", "dataset": "toy_text", "batch": 32, "sites": "embed+attention+projection+mlp+head",
        "own": {"hidden_dropout_prob": RATE, "attention_probs_dropout_prob": RATE},
    },
    "marian": {
        "preset": "transformer_micro", "dataset": "toy_translation", "batch": 32, "sites": "embed+projection+mlp",
        "own": {"dropout": RATE},
    },
}  # fmt: skip
WAYS = ("none", "dropout", "R-Drop")
Step = Callable[[Any], None]
"""Takes the positions of a batch's items, or its tensors."""


def options_of(case: dict[str, Any], way: str) -> Options:
    model = yaml.safe_load((MODELS / f"{case['preset']}.yaml").read_text())
    model["args"]["vocab_size"] = VOCABULARY
    rates = {"dropout": 0.0 if way == "none" else RATE, "alpha": ALPHA if way == "R-Drop" else 0.0}
    return from_dict({
        "model": model,
        "dataset": {"name": case["dataset"], "vocabulary_size": 400},
        "optimizer": {"batch_size": case["batch"]},
        "regularizer": rates | {"sites": case["sites"], "when": "never" if way == "none" else "always"},
    })  # fmt: skip


def ours(options: Options, data: Any, given: bool, device: torch.device) -> tuple[Step, nn.Module]:
    """One step as a trial makes it, and the transformers model inside."""
    network, noise = build_text_network(options, data.spec, device)
    optimizer = make_optimizer(options.optimizer, network)
    alpha = options.regularizer.alpha
    passes = 2 if alpha else 1
    network.train()

    def step(chosen: Any) -> None:
        batch = chosen if given else data.batch(chosen)
        noise.set_rates(float(options.regularizer.dropout > 0), passes)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        outputs = network(batch.inputs)
        losses = loss(outputs, batch.targets, passes=passes, alpha=alpha, mask=batch.mask, items=items(batch))
        losses.total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step, network.model  # type: ignore[return-value]


def plain(model: nn.Module, own: dict[str, float], way: str, collate: Any, device: torch.device) -> Step:
    """One step of a loop without this package; `collate` makes keyword arguments of the model."""
    import transformers

    config = type(model.config).from_dict(model.config.to_dict())  # type: ignore[union-attr, operator]
    rates = {name: 0.0 for name, value in config.to_dict().items() if "dropout" in name and isinstance(value, float)}
    config.update(rates | (own if way != "none" else {}))
    network = getattr(transformers, type(model).__name__)(config).to(device)
    network.load_state_dict(model.state_dict(), strict=False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    network.train()

    def step(chosen: Any) -> None:
        inputs = collate(chosen)
        if way == "R-Drop":
            first, second = network(**inputs), network(**inputs)
            labels = inputs["labels"]
            divergence = published_kl(first.logits, second.logits, labels != -100 if labels.ndim > 1 else None)
            total = 0.5 * (first.loss + second.loss) + ALPHA * divergence
        else:
            total = network(**inputs).loss
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()

    return step


def collator(data: Any, device: torch.device) -> Callable[[Any], dict[str, Tensor]]:
    """transformers' own: from the positions of items, whose tokens are lists, to padded tensors."""
    from transformers import DataCollatorForSeq2Seq, DataCollatorWithPadding

    source = lists(data.stores["input"])
    if "target" in data.stores:
        labels: list[Any] = [row[1:] for row in lists(data.stores["target"])]
        make: Any = DataCollatorForSeq2Seq(data.spec.tokenizer.backend, pad_to_multiple_of=8)
    else:
        labels = data.labels.tolist()
        make = DataCollatorWithPadding(data.spec.tokenizer.backend, pad_to_multiple_of=8)
    rows = [
        {"input_ids": row, "attention_mask": [1] * len(row), "labels": label}
        for row, label in zip(source, labels, strict=True)
    ]
    return lambda chosen: {name: x.to(device) for name, x in make([dict(rows[i]) for i in chosen]).items()}


def lists(store: Any) -> list[list[int]]:
    flat = store.flat.tolist()
    return [flat[start : start + count] for start, count in zip(store.starts.tolist(), store.lengths, strict=True)]


def as_keywords(batch: Batch) -> dict[str, Tensor]:
    """The same tensors for transformers, which makes the decoder's inputs of the labels."""
    inputs = {name: x for name, x in batch.inputs.items() if not name.startswith("decoder")}
    return inputs | {"labels": batch.targets if batch.mask is None else batch.targets.masked_fill(~batch.mask, -100)}


def published_kl(p: Tensor, q: Tensor, mask: Tensor | None) -> Tensor:
    """R-Drop's snippet: both directions, padding set to zero."""
    there = F.kl_div(F.log_softmax(p, -1), F.softmax(q, -1), reduction="none")
    back = F.kl_div(F.log_softmax(q, -1), F.softmax(p, -1), reduction="none")
    if mask is not None:
        there, back = there.masked_fill(~mask[..., None], 0.0), back.masked_fill(~mask[..., None], 0.0)
    count = len(p) if mask is None else mask.sum()
    return (there.sum() + back.sum()) / 2 / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=[*CASES], help="default: both")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=6, help="steps each in a round")
    parser.add_argument("--given", action="store_true", help="batches are tensors made beforehand")
    parser.add_argument("--device", type=torch.device, default="cpu")
    parser.add_argument("--torch-linear", action="store_true", help="fast_linear=false, as on CPUs that are not AMD's")
    o = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {o.device}; tokens per second, and plain's time over ours: median (range)")
    for name, case in CASES.items() if o.model is None else [(o.model, CASES[o.model])]:
        steps: dict[tuple[str, str], Step] = {}
        for way in WAYS:
            options = options_of(case, way)
            options.fast_linear = not o.torch_linear
            data = load_text(options, o.device)
            torch.manual_seed(0)
            steps[way, "ours"], model = ours(options, data, o.given, o.device)
            collate = as_keywords if o.given else collator(data, o.device)
            steps[way, "plain"] = plain(model, case["own"], way, collate, o.device)
        chosen = data._train_batches(0)[: o.steps]
        batches = [data.batch(positions) for positions in chosen]
        tokens = statistics.mean(sum(int(x.numel()) for k, x in b.inputs.items() if k.endswith("ids")) for b in batches)
        times: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
        for i in range(o.rounds + 1):
            for key in list(steps)[:: (-1) ** i]:
                start = seconds(o.device)
                for each in batches if o.given else chosen:
                    steps[key](each)
                times[key].append((seconds(o.device) - start) / len(chosen))
        for way in WAYS:
            ours_s, plain_s = (times[way, side][1:] for side in ("ours", "plain"))
            ratios = [b / a for a, b in zip(ours_s, plain_s, strict=True)]
            print(
                f"{name:8} {way:8} {tokens / statistics.median(ours_s):9,.0f} against"
                f" {tokens / statistics.median(plain_s):9,.0f}"
                f"   {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
