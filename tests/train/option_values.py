"""For each option: other values, and the options that it needs beside it to act. Read by test_option_walk.py."""

import csv
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

Values = Mapping[str, Any]
"""Options by their dotted names. In texts, {files} stands for the folder with images and weights of the test."""

TINY: dict[str, Any] = {"patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
BASE: dict[str, Any] = {
    "seed": 0,
    "device": "cpu",
    "model.name": "vit_tiny_patch16_224",
    "model.args": TINY,
    "dataset.limit": 2,
    "dataset.workers": 0,
    "optimizer.batch_size": 16,
    "schedule.epochs": 2,
    "logger.wandb": "disabled",
    "logger.progress": False,
    "logger.every": 1,
}


class Walk(NamedTuple):
    """What to try of an option, beside `BASE`."""

    values: tuple[Any, ...] = ()
    """Empty: all other choices of a Literal, or the opposite of a bool."""
    context: Values = MappingProxyType({})
    silent: str = ""
    """Why nothing but time or memory shows that this RUNTIME option was read."""
    exempt: str = ""
    """Why it is not tried here, and where it is."""
    rounding: bool = False
    """A RUNTIME option that changes the order of sums: results are equal up to rounding."""
    draws: bool = False
    """A RUNTIME option with which noise is drawn in other portions: results are equal in distribution."""


RESNET: dict[str, Any] = {
    "model.name": "resnet18",
    "model.args": {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16], "output_stride": 8},
    "dataset.image_size": 32,
}
DROPOUT: dict[str, Any] = {"regularizer.dropout": 0.5}
RDROP: dict[str, Any] = DROPOUT | {"regularizer.alpha": 1.0}
EARLY: dict[str, Any] = DROPOUT | {"regularizer.when": "early", "regularizer.cutoff_epoch": 1.0}
DEPTH: dict[str, Any] = {"regularizer.drop_path": 0.5}
PEER: dict[str, Any] = {"peer.name": "vit_tiny_patch16_224", "peer.args": TINY, "regularizer.alpha": 1.0}
STREAMED: dict[str, Any] = {"dataset.resident": False}
FOLDER: dict[str, Any] = STREAMED | {
    "dataset.name": "image_folder",
    "dataset.root": "{files}/classes",
    "dataset.image_size": 8,
}
TABLE: dict[str, Any] = FOLDER | {"dataset.name": "image_csv", "dataset.root": "{files}/table"}
TEXT: dict[str, Any] = {
    "model.name": "bert",
    "model.args": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
    "dataset.name": "toy_text",
    "dataset.vocabulary_size": 300,
    "dataset.max_length": 16,
}
TEXT_TABLE: dict[str, Any] = TEXT | {"dataset.name": "text_csv", "dataset.root": "{files}/texts"}
WORDPIECE: dict[str, Any] = TEXT_TABLE | {"dataset.vocabulary": "{files}/texts/vocabulary.txt"}
PAIRS: dict[str, Any] = TEXT | {
    "model.name": "marian",
    "model.args": {
        "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 32,
    },
    "dataset.name": "parallel",
    "dataset.root": "{files}/pairs",
    "dataset.source": "de",
    "dataset.target": "en",
    "generate.max_length": 4,
    "generate.beams": 1,
}  # fmt: skip
GENERATED = "a few steps generate no text to tell apart: tests/tasks/test_seq2seq.py"
STEPS: dict[str, Any] = {"schedule.shape": "step", "schedule.step_epochs": 1}
ONLINE: dict[str, Any] = {"logger.wandb": "offline"}
ANALYSIS: dict[str, Any] = {"analysis.every": 2, "analysis.batches": 2}

WALKS: dict[str, Walk] = {
    "name": Walk(("other",)),
    "output_dir": Walk(("{files}/elsewhere",)),
    "seed": Walk((1,)),
    "model.label": Walk(("short",)),
    "model.name": Walk(("vit_relpos_small_patch16_224", "deit3_small_patch16_224")),
    "model.args": Walk((TINY | {"depth": 1}, TINY | {"embed_dim": 32})),
    "model.sites": Walk(({"mlp": ["blocks.*.mlp.fc1"]}, {"head": ["head"]}), DROPOUT),
    "model.pretrained": Walk(),
    "model.checkpoint": Walk(("{files}/weights.pt",)),
    "peer.label": Walk(("short",), PEER),
    "peer.name": Walk(("vit_tiny_patch16_224",), {"peer.args": TINY, "regularizer.alpha": 1.0} | DROPOUT),
    "peer.args": Walk((TINY | {"depth": 1},), PEER),
    "peer.sites": Walk(({"mlp": ["blocks.*.mlp.fc1"]},), PEER | DROPOUT),
    "peer.pretrained": Walk((), PEER),
    "peer.checkpoint": Walk(("{files}/weights.pt",), PEER),
    "dataset.label": Walk(("short",)),
    "dataset.name": Walk(("digits",), FOLDER),
    "dataset.root": Walk(("{files}/splits",), FOLDER),
    "dataset.download": Walk(silent="there is nothing to download for data on this machine"),
    "dataset.layout": Walk(("classes",), FOLDER | {"dataset.root": "{files}/splits"}),
    "dataset.csv": Walk(("other.csv",), TABLE),
    "dataset.image_column": Walk(("picture",), TABLE),
    "dataset.label_column": Walk(("kind",), TABLE),
    "dataset.split_column": Walk(("part",), TABLE | {"dataset.csv": "parts.csv"}),
    "dataset.group_column": Walk(("patient",), TABLE),
    "dataset.broken": Walk((), FOLDER | {"dataset.root": "{files}/broken"}),
    "dataset.fingerprint": Walk((), FOLDER),
    "dataset.background": Walk(("black", "#808080"), FOLDER | {"dataset.root": "{files}/transparent"}),
    "dataset.max_pixels": Walk((10,), FOLDER),
    "dataset.image_size": Walk((16,)),
    "dataset.validation": Walk((0.3,)),
    "dataset.test": Walk((0.4,)),
    "dataset.split_seed": Walk((1,)),
    "dataset.fraction": Walk((0.5,)),
    "dataset.resident": Walk(),
    "dataset.crop": Walk((1,)),
    "dataset.flip": Walk(),
    "dataset.erase": Walk((0.9,)),
    "dataset.scale": Walk(([0.5, 1.0],), FOLDER),
    "dataset.rand_augment": Walk(("rand-m9-mstd0.5-inc1",), FOLDER),
    "dataset.color_jitter": Walk((0.4,), FOLDER),
    "dataset.interpolation": Walk((), FOLDER),
    "dataset.mean": Walk(([0.1],)),
    "dataset.std": Walk(([0.7],)),
    "dataset.mixup": Walk((0.5,)),
    "dataset.cutmix": Walk((1.0,)),
    "dataset.label_smoothing": Walk((0.1,)),
    "dataset.text_column": Walk(("other",), TEXT_TABLE),
    "dataset.second_column": Walk(("other",), TEXT_TABLE),
    "dataset.label_kind": Walk((), TEXT_TABLE),
    "dataset.source": Walk(("fr",), PAIRS),
    "dataset.target": Walk(("fr",), PAIRS),
    "dataset.tokenizer": Walk(("bpe",), WORDPIECE),
    "dataset.vocabulary": Walk(("{files}/texts/other.txt",), WORDPIECE),
    "dataset.vocabulary_size": Walk((320,), TEXT),
    "dataset.max_length": Walk((8,), TEXT),
    "dataset.too_long": Walk((), TEXT | {"dataset.max_length": 8}),
    "dataset.limit": Walk((1,)),
    "dataset.repeat_batch": Walk(),
    "dataset.workers": Walk(
        (1,), STREAMED | {"schedule.epochs": 1}, silent="where images are decoded shows in speed only"
    ),
    "regularizer.name": Walk(("mine",), DROPOUT),
    "regularizer.dropout": Walk((0.5,)),
    "regularizer.second_dropout": Walk((0.2,), RDROP),
    "regularizer.drop_path": Walk((0.5,)),
    "regularizer.profile": Walk((), DEPTH | {"model.args": TINY | {"depth": 3}}),
    "regularizer.patch_dropout": Walk((0.5,)),
    "regularizer.drop_key": Walk((0.5,)),
    "regularizer.head_dropout": Walk((0.5,)),
    "regularizer.drop_block": Walk((0.5,), RESNET | {"regularizer.block_size": 2}),
    "regularizer.block_size": Walk((1,), RESNET | {"regularizer.drop_block": 0.5}),
    "regularizer.dropout_profile": Walk((), DROPOUT | {"regularizer.dropout": 0.3}),
    "regularizer.sites": Walk(
        ("default", "timm", "rdrop", "dru", "embed", "attention+projection"), DROPOUT | {"regularizer.sites": "mlp"}
    ),
    "regularizer.when": Walk(
        ("never", "early", "late", "increasing", "decreasing", "v_shaped", "curriculum", "annealed"),
        DROPOUT | {"regularizer.cutoff_epoch": 1.0},
    ),
    "regularizer.cutoff_epoch": Walk((0.5, 0.0), EARLY),
    "regularizer.cutoff_share": Walk(
        (0.25,), EARLY | {"regularizer.cutoff_epoch": None, "regularizer.cutoff_share": 0.5}
    ),
    "regularizer.ramp": Walk((), EARLY | {"regularizer.cutoff_epoch": 2.0}),
    "regularizer.gamma": Walk((1.0,), DROPOUT | {"regularizer.when": "curriculum"}),
    "regularizer.alpha": Walk((1.0,), DROPOUT),
    "regularizer.passes": Walk((3,), RDROP),
    "regularizer.tie": Walk((), RDROP | {"optimizer.ema": 0.5}),
    "regularizer.multi_sample": Walk((), DROPOUT | {"regularizer.passes": 3}),
    "regularizer.every": Walk((2,), RDROP),
    "regularizer.stop_gradient": Walk((), RDROP),
    "regularizer.divergence": Walk(("mse", "brier", "bernoulli"), RDROP),
    "schedule.shape": Walk((), {"schedule.step_epochs": 1}),
    "schedule.epochs": Walk((1,)),
    "schedule.steps": Walk((3,)),
    "schedule.warmup_epochs": Walk((1.0,)),
    "schedule.warmup_steps": Walk((3,)),
    "schedule.final": Walk((0.5,)),
    "schedule.step_epochs": Walk((1,), STEPS | {"schedule.step_epochs": 10}),
    "schedule.step_factor": Walk((0.5,), STEPS),
    "optimizer.name": Walk(("sgd",)),
    "optimizer.lr": Walk((1e-2,)),
    "optimizer.weight_decay": Walk((0.5,)),
    "optimizer.momentum": Walk((0.5,), {"optimizer.name": "sgd"}),
    "optimizer.args": Walk(({"betas": [0.5, 0.9]},)),
    "optimizer.batch_size": Walk((8,)),
    "optimizer.batch_tokens": Walk((128,), TEXT),
    "optimizer.accumulate": Walk((2,), silent="micro-batches show in memory only", rounding=True, draws=True),
    "optimizer.clip": Walk((0.01,)),
    "optimizer.ema": Walk((0.5,)),
    **dict.fromkeys(
        [f"generate.{name}" for name in ("beams", "length_penalty", "max_length", "min_length", "no_repeat")],
        Walk(exempt=GENERATED),
    ),
    "logger.wandb": Walk(("auto", "online", "offline")),
    "logger.project": Walk(("mine",), ONLINE),
    "logger.entity": Walk(("mine",), ONLINE),
    "logger.tags": Walk((["mine"],), ONLINE),
    "logger.also": Walk(exempt="tests/train/test_loggers.py"),
    "logger.every": Walk((2,)),
    "logger.progress": Walk((True,)),
    "analysis.every": Walk((1,), ANALYSIS),
    "analysis.batches": Walk((3,), ANALYSIS),
    "analysis.augment": Walk((), ANALYSIS | {"dataset.flip": True}),
    "analysis.passes": Walk((0, 3), ANALYSIS),
    "analysis.dropout": Walk((0.5,), ANALYSIS),
    "monte_carlo": Walk(exempt="it adds metrics of the test: tests/train/test_monte_carlo.py"),
    "precision": Walk(("bf16", "fp16")),
    "plugins": Walk(exempt="modules of the user's: tests/test_own.py"),
    "compile": Walk(exempt="compiling takes a minute: tests/train/test_loop.py and tests/test_gpu.py"),
    "compile_mode": Walk(exempt="it acts with compile only: tests/test_gpu.py"),
    "share_passes": Walk((), RDROP, silent="it saves time only", rounding=True),
    "skip_dropped": Walk((), DEPTH, silent="it saves time only", rounding=True),
    "fast_linear": Walk(silent="it saves time only, on AMD CPUs", rounding=True),
    "sync_batchnorm": Walk(exempt="it acts on several ranks only: tests/train/test_parallel.py"),
    "device": Walk(("cuda:99", "toaster")),
    "threads": Walk((2,), silent="it saves time only", rounding=True),
    "validate_every": Walk((2,)),
    "validate": Walk((), {"optimizer.lr": 0.03, "schedule.epochs": 3}),
    "select": Walk((), {"optimizer.lr": 0.03, "schedule.epochs": 3}),
    "stop_loss": Walk((100.0,)),
    "pause_epoch": Walk(exempt="tests/train/test_pause.py"),
    "same_code": Walk(exempt="it acts on finished trials: tests/runs/test_code.py"),
    "share_steps": Walk(exempt="it acts on sweeps: tests/train/test_forks.py"),
    "checkpoint_seconds": Walk((0.0,)),
    "keep_weights": Walk(),
}

CONTEXTS: dict[str, dict[str, Any]] = {
    "none": {},
    "rdrop": RDROP,
    "early": EARLY,
    "depth": DEPTH,
    "peer": PEER,
    "folder": FOLDER,
    "table": TABLE,
    "text": TEXT,
    "sgd": {"optimizer.name": "sgd", "schedule.steps": 3},
}
"""Trials in which every option is tried, whether it can act there or not."""
QUICK = {"none": ("regularizer.",), "rdrop": ("",), "sgd": ("optimizer.", "schedule.")}
"""Those of the default suite, and how the names of the options begin that are tried there."""

ALIASES = {
    "regularizer.sites": "a preset stands for those of its sites that the model has",
    "dataset.layout": "auto recognises both layouts",
    "dataset.broken": "where no file is broken",
    "validate": "the same weights can be the best by both",
    "dataset.background": "where no image is transparent",
    "dataset.tokenizer": "auto is one of the others, depending on the model's name, which can be that of a folder",
}
"""Options whose values can mean the same, depending on the model or the files: two identities then have one result."""
UNNAMED = {
    ("regularizer.when", "never"): "no noise is what it asks for",
    ("regularizer.cutoff_share", 0.25): "cutoff_epoch comes first, as documented, and presets set this one",
}
"""Options that are reset without being listed as unused."""


def make_files(files: Path) -> None:
    """Folders of tiny images, no two alike, and a table of them; a table of texts, and texts in three languages."""
    make_texts(files)
    generator = np.random.default_rng(0)

    def image(path: str, mode: str = "RGB") -> None:
        (files / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (12, 10, len(mode)), dtype=np.uint8)
        Image.fromarray(pixels, mode).save(files / path)

    for i in range(40):
        for name in ("cat", "dog"):
            image(f"classes/{name}/{i}.png")
            image(f"broken/{name}/{i}.png")
            image(f"transparent/{name}/{i}.png", "RGBA")
            image(f"splits/{'train' if i < 30 else 'test'}/{name}/{i}.png")
    for i in range(60):
        image(f"table/cat{i}.png")
        image(f"table/dog{i}.png")
    (files / "broken/cat/3.png").write_bytes(b"no image")
    part = {0: "test", 1: "validation"}
    rows = [
        {
            "image": f"cat{i}.png",
            "picture": f"dog{i}.png",
            "label": "ab"[i % 2],
            "kind": "xyz"[i % 3],
            "patient": i // 4,
        }
        for i in range(60)
    ]
    split = [row | {"part": part.get(i % 5, "train")} for i, row in enumerate(rows)]
    for name, chosen in (("labels.csv", rows), ("other.csv", rows[:45]), ("parts.csv", split)):
        with (files / "table" / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(chosen[0]))
            writer.writeheader()
            writer.writerows(chosen)


def make_texts(files: Path) -> None:
    """40 rows with two texts and a number, two vocabularies of their words, and 40 lines in each of three languages."""
    words = ["cat", "dog", "bird", "fish", "tree"]
    lines = [" ".join(words[(i * k + k) % 5] for k in range(1, 3 + i % 4)) for i in range(40)]
    for folder in ("texts", "pairs"):
        (files / folder).mkdir()
    with (files / "texts/labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("text", "other", "label"), *((lines[i], lines[-i], i % 3 % 2) for i in range(40))])
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    (files / "texts/vocabulary.txt").write_text("\n".join([*special, *words]))
    (files / "texts/other.txt").write_text("\n".join([*special, *words[:2]]))
    for language in ("de", "en", "fr"):
        for part, some in (("train", lines[:24]), ("val", lines[24:32]), ("test", lines[32:])):
            text = [" ".join(f"{word}{language}" for word in line.split()) for line in some]
            (files / f"pairs/{part}.{language}").write_text("\n".join(text))
