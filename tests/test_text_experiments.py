"""The published settings of text tasks: each trains on small files, and their conversions, restated."""

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.text.glue import GLUE
from rdrop_exp.train import losses, trial
from tests.conftest import ROOT, Command, merged
from tests.test_experiments import TEXTS, composed, header
from tests.text.helpers import sentence, write, write_parallel, write_rows

pytestmark = pytest.mark.usefixtures("hydra_config")
SWEEPS = sorted((ROOT / "sweeps" / "text").glob("*.yaml"))
SIZES = {"train": 20, "valid": 4, "test": 4}
BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
BART = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16,
}  # fmt: skip
TINY: dict[str, tuple[str, dict[str, Any]]] = {  # preset → type and arguments that make it tiny
    "bert_base": ("bert", BERT),
    "roberta_large": ("roberta", BERT),
    "bart_large": ("bart", BART),
    "gpt2": ("gpt2", {"n_embd": 16, "n_layer": 1, "n_head": 2}),
    "transformer_iwslt": ("marian", BART),
    "transformer_big": ("marian", BART),
}
PUBLISHED_GLUE = {  # alpha and batch size in print
    "cola": (0.5, 16), "mnli": (0.5, 32), "mrpc": (1.0, 16), "qnli": (1.0, 32), "qqp": (0.5, 32), "rte": (1.0, 8),
    "sst2": (1.0, 32), "stsb": (1.0, 16),
}  # fmt: skip


def write_data(root: Path, o: Options) -> None:
    """Small files in the layout of the setting's data set."""
    d = o.dataset
    if d.name in GLUE:
        for name, count in (("train.tsv", SIZES["train"]), (GLUE[d.name].dev, SIZES["test"])):
            write_rows(root / name, glue_rows(d.name, count))
    elif d.name == "parallel":
        write_parallel(root, SIZES, (d.source, d.target))
    elif d.name == "summaries":
        for stem, count in (("train", 20), ("val", 4), ("test", 4)):
            rows = [{d.source: sentence(i), d.target: sentence(i)[:20]} for i in range(count)]
            write(root / f"{stem}.jsonl", map(json.dumps, rows))
    else:
        for stem, count in SIZES.items():
            write(root / f"{stem}.txt", (sentence(i) for i in range(5 * count)))


def glue_rows(name: str, count: int) -> Iterator[list[str]]:
    """Columns by name after a header, or by position."""
    task = GLUE[name]
    columns = [str(each).partition("|")[0] for each in (task.first, task.second, task.label) if each is not None]
    if task.header:
        yield columns
    for i in range(count):
        label = str(i % 5) if task.kind == "value" else task.classes[i % len(task.classes)]
        texts = [sentence(i + j) for j in range(len(columns) - 1)]
        yield [*texts, label] if task.header else ["x", label, "", *texts]


def tiny(o: Options, root: Path, output: Path) -> Options:
    """The same setting with two steps of a tiny model."""
    kind, args = TINY[o.model.label]
    values: dict[str, Any] = {
        "output_dir": str(output),
        "model": {"name": kind, "args": args, "pretrained": False},
        "dataset": {"root": str(root), "vocabulary_size": 320, "max_length": 16},
        "optimizer": {"batch_size": 4, "accumulate": 2},
        "schedule": {"steps": 2, "warmup_steps": 1},
        "generate": {"max_length": 8, "min_length": 0},
        "logger": {"wandb": "disabled", "progress": False},
    }
    if o.optimizer.batch_tokens:
        values["optimizer"]["batch_tokens"] = 64
    return from_dict(merged(dataclasses.asdict(o), values))


def trained_commands() -> Iterator[Any]:
    """The first command of one file for each task; the others are slow tests."""
    quick = ("rdrop_bert_base_cola", "rdrop_bert_base_stsb", "rdrop_iwslt14", "rdrop_cnn_dm", "rdrop_wikitext103")
    for experiment in TEXTS:
        for i, (command, _) in enumerate(header(experiment)):
            slow = [] if experiment in quick and i == 0 else [pytest.mark.slow]
            yield pytest.param(command, id=command.partition("=")[2], marks=slow)


@pytest.mark.parametrize("command", list(trained_commands()))
def test_every_published_text_setting_trains_two_steps(tmp_path: Path, command: str) -> None:
    published = composed(command)
    write_data(tmp_path / "data", published)
    o = tiny(published, tmp_path / "data", tmp_path / "runs")
    result = trial.run(o)
    assert result is not None
    assert (result["status"], result["steps"]) == ("finished", 2)
    assert all(math.isfinite(value) for value in result["metrics"].values())
    (rows,) = (tmp_path / "runs" / o.name).glob("*/metrics.jsonl")
    last = json.loads(rows.read_text().splitlines()[-1])
    assert last["rate/dropout"] == pytest.approx(o.regularizer.dropout)
    assert (last["train/consistency"] > 0) == (o.regularizer.alpha > 0)


@pytest.mark.parametrize("task", PUBLISHED_GLUE)
def test_glue_settings(task: str) -> None:
    alpha, batch = PUBLISHED_GLUE[task]
    o = composed(f"experiment=rdrop_bert_base_{task}")
    row = "paper" if task == "stsb" else "bert_code"
    assert o.regularizer.alpha == losses.PUBLISHED[row].alpha(alpha, batch)
    assert (o.optimizer.batch_size, o.optimizer.lr, o.regularizer.dropout) == (batch, 1e-5, 0.1)
    others = [composed(command) for command, _ in header(f"rdrop_bert_base_{task}") if "roberta" in command]
    assert [each.regularizer.alpha for each in others] == [alpha / 2, 0]
    assert {each.optimizer.batch_size for each in others} == {batch}


def test_token_settings() -> None:
    for name, alpha in (("iwslt14", 5), ("wmt14_en_de", 5), ("wmt14_en_fr", 5), ("cnn_dm", 0.7), ("wikitext103", 1)):
        o = composed(f"experiment=rdrop_{name}")
        assert o.regularizer.alpha == losses.PUBLISHED["paper"].alpha(alpha, 1)
        assert o.optimizer.lr == (3e-5 if name == "cnn_dm" else 5e-4)
    o = composed("experiment=rdrop_iwslt14")
    assert (o.schedule.shape, o.schedule.warmup_steps, o.optimizer.batch_tokens) == ("inverse_sqrt", 4000, 4096)
    assert (o.dataset.label_smoothing, o.regularizer.dropout) == (0.1, 0.3)
    ablation = [composed(command).regularizer.alpha for command, _ in header("rdrop_iwslt14")]
    assert ablation[:6] == [2.5, 0, 0.5, 1.5, 3.5, 5]


def test_translation_is_half_the_published_loss() -> None:
    """R-Drop's translation code, restated: sums over tokens that are not padding, smoothed targets, halved KLs."""
    draws = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 3, 5, 7, generator=draws)
    targets = torch.randint(0, 7, (3, 5), generator=draws)
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    p, q = a.log_softmax(-1), b.log_softmax(-1)
    nll = -torch.stack([p, q]).gather(-1, targets.expand(2, -1, -1)[..., None])[..., 0]
    smoothed = 0.9 * nll - 0.1 * torch.stack([p, q]).mean(-1)
    kls = F.kl_div(p, q, reduction="none", log_target=True) + F.kl_div(q, p, reduction="none", log_target=True)
    published = (smoothed.sum(0) + 5 * kls.sum(-1) / 2)[mask].sum() / mask.sum()
    o = composed("experiment=rdrop_iwslt14")
    smoothing = o.dataset.label_smoothing
    ours = losses.loss(
        torch.cat([a, b]), targets, passes=2, alpha=o.regularizer.alpha, mask=mask, label_smoothing=smoothing
    )
    torch.testing.assert_close(2 * ours.total, published)


def test_regression_is_half_the_published_loss() -> None:
    a, b, y = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    published = ((y - a) ** 2 + (y - b) ** 2 + 1 * (a - b) ** 2).mean()
    alpha = composed("experiment=rdrop_bert_base_stsb").regularizer.alpha
    outputs = torch.cat([a, b])[:, None]
    ours = losses.loss(outputs, y, passes=2, alpha=alpha, task="squared_error", divergence="mse")
    torch.testing.assert_close(2 * ours.total, published)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
@pytest.mark.slow
def test_shipped_text_sweeps_plan(command: Command, tmp_path: Path, path: Path) -> None:
    done = command("-m", f"sweep=text/{path.stem}", "hydra.launcher.dry_run=true")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"text/{path.stem}")
    assert int(lines[1].split()[0]) >= 9
    assert "Not answered" not in done.stdout
