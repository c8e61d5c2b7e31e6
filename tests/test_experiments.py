"""Every preset composes, and every published setting trains: each command that opens a file of conf/experiment."""

import dataclasses
import functools
import itertools
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rdrop_exp.config.arguments import arrange
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.compose import options_of, packaged
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.models.build import build_network, create_network
from rdrop_exp.train import checkpoint, losses, optim, trial
from tests.conftest import ROOT, merged

pytestmark = pytest.mark.usefixtures("hydra_config")
CONF = packaged("conf")
DOCS = ROOT / "docs" / "recipes.md"
PRESETS = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml") if path.parent != CONF)
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
TEXTS = [name for name in EXPERIMENTS if re.match("rdrop_(bert|iwslt|wmt|cnn|wikitext)", name)]
IMAGES = [name for name in EXPERIMENTS if name not in TEXTS]
TINY_ARGS: dict[str, dict[str, Any]] = {  # arguments that make a family tiny
    "vit": {"embed_dim": 24, "depth": 2, "num_heads": 2},
    "swin": {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1]},
    "convnext": {"dims": [8, 8, 8, 8], "depths": [1, 1, 1, 1]},
    "res2net50": {"layers": [1, 1, 1, 1]},
    "seresnet50": {"layers": [1, 1, 1, 1]},
    "mixer": {},  # timm's Mixers accept none: see `tiny`
}


def header(experiment: str) -> list[tuple[str, str]]:
    """The commands that a file opens with, and the figure beside each."""
    lines = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    columns = [[*re.split(r"  +", line[4:]), ""] for line in lines if line.startswith("#   rdrop-exp ")]
    return [(command, figure) for command, figure, *_ in columns]


COMMANDS = [(command, figure) for experiment in EXPERIMENTS for command, figure in header(experiment)]


@functools.cache
def composed(command: str) -> Options:
    """Checked options of a command, or of the overrides alone."""
    overrides = command.removeprefix("rdrop-exp").split()
    return options_of(hydra.compose("train", arrange(overrides)))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 random pictures to train on and 4 to validate on, as folders of two classes and as a table."""
    root = tmp_path_factory.mktemp("images")
    draws, rows = torch.Generator().manual_seed(0), ["image,label"]
    for part, count in (("train", 10), ("val", 2)):
        for label in ("a", "b"):
            (root / part / label).mkdir(parents=True)
            for i in range(count):
                pixels = torch.randint(0, 256, (70, 80, 3), dtype=torch.uint8, generator=draws).numpy()
                Image.fromarray(pixels).save(root / part / label / f"{i}.png")
                rows += [f"{part}/{label}/{i}.png,{label}"]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def tiny(o: Options, root: Path, output: Path) -> Options:
    """The same setting with two steps of four images on a tiny model, and the cutoff, if any, between them."""
    files = ("imagenet", "image_csv")  # torchvision's data sets are not available to tests
    values: dict[str, Any] = {
        "output_dir": str(output),
        "dataset": {
            "name": o.dataset.name if o.dataset.name in files else "image_folder",
            "root": str(root),
            "image_size": 64,
            "limit": 1,
            "workers": 0,
        },
        "optimizer": {"batch_size": 4, "accumulate": 2},
        "schedule": {"epochs": 2, "warmup_epochs": 1},
        "logger": {"wandb": "disabled", "progress": False},
    }
    for group in ("model", "peer"):
        part = getattr(o, group)
        small = next((args for family, args in TINY_ARGS.items() if part.name.startswith(family)), {})
        values[group] = {"args": part.args | small, "pretrained": False}
        if part.name.startswith("mixer"):
            values[group]["name"] = "mixer_s32_224"
    if o.schedule.steps:
        values["schedule"] = {"steps": 2, "warmup_steps": 1}
    if o.regularizer.cutoff_epoch:
        values["regularizer"] = {"cutoff_epoch": 1}
    if o.model.checkpoint:
        values["model"]["checkpoint"] = str(save_weights(o, values["model"]["args"], output))
    return from_dict(merged(dataclasses.asdict(o), values))


def save_weights(o: Options, args: dict[str, Any], folder: Path) -> Path:
    """The checkpoint of a finished trial of this model, with a head of 1,000 classes."""
    part = dataclasses.replace(o.model, args=args, checkpoint="")
    network = create_network(part, "model", classes=1000, channels=3, image_size=64)
    checkpoint.finish(folder, network.state_dict())
    return folder / checkpoint.NAME


def trained_commands() -> Iterator[Any]:
    """The first command of each file; the others are slow tests. tests/test_text_experiments.py trains texts."""
    for experiment in IMAGES:
        first, *others = [command for command, _ in header(experiment)]
        yield pytest.param(first, id=experiment)
        yield from (pytest.param(c, id=c.partition("=")[2], marks=pytest.mark.slow) for c in others)


@pytest.mark.parametrize("command", list(trained_commands()))
def test_every_published_setting_trains_two_steps(images: Path, tmp_path: Path, command: str) -> None:
    o = tiny(composed(command), images, tmp_path)
    result = trial.run(o)
    assert result is not None
    assert (result["status"], result["steps"]) == ("finished", 2)
    assert all(math.isfinite(value) for value in result["metrics"].values())
    (rows,) = (tmp_path / o.name).glob("*/metrics.jsonl")
    first, last = map(json.loads, rows.read_text().splitlines())
    r = o.regularizer
    for key, rate in (("rate/dropout", r.dropout), ("rate/drop_path", r.drop_path)):
        if rate and r.when != "never":  # the first and the second of two steps
            after = math.exp(-r.gamma)
            rising, falling, gradual = (0.0, 1.0), (1.0, 0.0), {"curriculum": (0, 1 - after), "annealed": (1, after)}
            scales = {"always": (1, 1), "late": rising, "increasing": rising, "early": falling, "decreasing": falling}
            expected = [rate * scale for scale in (scales | gradual)[r.when]]
            assert [first[key], last[key]] == pytest.approx(expected)
    assert (last["train/consistency"] > 0) == (r.alpha > 0)  # at the first step R-Drop's head is still zero


def test_the_commands_of_a_file_select_it_and_are_different_trials() -> None:
    for experiment in EXPERIMENTS:
        lines = [command for command, _ in header(experiment)]
        assert lines, f"{experiment} does not open with its command"
        assert all(f"experiment={experiment}" in line.split() for line in lines)
        assert len({trial_spec(composed(line)).identity for line in lines}) == len(lines)
        assert (CONF / "experiment" / f"{experiment}.yaml").read_text().startswith("# @package _global_\n# ")


def test_baselines_of_one_table_are_one_trial() -> None:
    """Early dropout and early stochastic depth share the trial without noise, and its folder."""
    for table in ("vit_tiny", "mixer_s32", "swin_femto", "vit_tiny_improved", "swin_femto_improved"):
        kinds = [f"experiment={kind}_{table} regularizer=none" for kind in ("early_dropout", "early_stochastic_depth")]
        one, other = map(composed, kinds)
        assert (one.name, trial_spec(one).identity) == (other.name, trial_spec(other).identity)


def test_the_docs_list_every_command_with_its_figure() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("|")]
    for command, figure in COMMANDS:
        (row,) = [row for row in rows if f"`{command}`" in row]
        assert figure in row


@pytest.mark.parametrize("preset", PRESETS, ids=str)
def test_every_preset_begins_with_a_comment(preset: Path) -> None:
    lines = [line for line in (CONF / preset).read_text().splitlines() if not line.startswith("# @package")]
    assert re.match(r"# \w.{2}", lines[0])


def preset_choices() -> Iterator[str]:
    """Overrides that select every preset of every group; several groups at once, for speed."""
    groups: dict[str, list[str]] = {}
    for preset in PRESETS:
        if preset.parts[0] not in ("hydra", "experiment", "debug"):
            groups.setdefault(preset.parts[0], []).append(f"{preset.parts[0]}={preset.stem}")
    yield from (" ".join(filter(None, row)) for row in itertools.zip_longest(*groups.values()))
    yield from (f"{p.parts[0]}={p.relative_to(p.parts[0]).with_suffix('')}" for p in PRESETS if p.parts[0] == "debug")


@pytest.mark.parametrize("choices", list(preset_choices()))
def test_every_preset_composes(choices: str) -> None:
    needs = {"mutual": " peer=seresnet50", "rdrop_teacher": " optimizer.ema=0.9"}
    o = composed(choices + "".join(needs[name] for name in needs if f"regularizer={name}" in choices.split()))
    for group, preset in (choice.split("=") for choice in choices.split()):
        if group in ("model", "peer") and preset not in ("timm", "none"):
            assert getattr(o, group).label == preset


@pytest.mark.parametrize("preset", [path.stem for path in (CONF / "model").glob("*_micro_*.yaml")])
def test_micro_models_take_images_of_the_size_in_their_name(preset: str) -> None:
    size = int(preset.rpartition("_")[2])
    o = composed(f"model={preset} regularizer=rdrop regularizer.drop_path=0.1")
    channels = 3 if size == 32 else 1
    network, noise = build_network(o, classes=10, channels=channels, image_size=size, device=torch.device("cpu"))
    assert sum(p.numel() for p in network.parameters()) < 3e6
    assert noise.rates(1.0) == pytest.approx({"rate/dropout": 0.1, "rate/drop_path": 0.1})


# -- published settings and conversions, restated ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "epochs", "mix", "rate"),
    [
        ("early_dropout_vit_tiny", 300, (0.8, 1.0), 0.1),
        ("early_dropout_mixer_s32", 300, (0.8, 1.0), 0.1),
        ("early_dropout_swin_femto", 300, (0.8, 1.0), 0.5),
        ("early_dropout_vit_tiny_improved", 600, (0.3, 0.3), 0.1),
        ("early_dropout_swin_femto_improved", 600, (0.3, 0.3), 0.5),
        ("early_stochastic_depth_vit_tiny", 300, (0.8, 1.0), 0.5),
        ("early_stochastic_depth_mixer_s32", 300, (0.8, 1.0), 0.7),
        ("early_stochastic_depth_convnext_femto", 300, (0.8, 1.0), 0.5),
        ("early_stochastic_depth_swin_femto", 300, (0.8, 1.0), 0.5),
        ("early_stochastic_depth_vit_tiny_improved", 600, (0.3, 0.3), 0.5),
        ("early_stochastic_depth_convnext_femto_improved", 600, (0.3, 0.3), 0.5),
        ("early_stochastic_depth_swin_femto_improved", 600, (0.3, 0.3), 0.5),
        ("late_stochastic_depth_vit_base", 300, (0.8, 1.0), 0.4),
        ("late_stochastic_depth_mixer_b16", 300, (0.8, 1.0), 0.2),
    ],
)
def test_early_and_late_settings(name: str, epochs: int, mix: tuple[float, float], rate: float) -> None:
    o = composed(f"experiment={name}")
    r, s, d, opt = o.regularizer, o.schedule, o.dataset, o.optimizer
    assert (r.dropout, r.drop_path) == ((rate, 0) if "dropout" in name else (0, rate))
    kind, ramp = ("early", "linear") if "early" in name else ("late", "constant")
    assert (r.when, r.cutoff_epoch, r.ramp) == (kind, 50, ramp)
    assert r.profile == "linear"
    assert (s.epochs, s.warmup_epochs, s.shape) == (epochs, 50, "cosine")
    assert s.final * opt.lr == pytest.approx(1e-6)
    assert (d.mixup, d.cutmix, d.erase, d.label_smoothing) == (*mix, 0.25, 0.1)
    assert (opt.name, opt.lr, opt.weight_decay, opt.batch_size) == ("adamw", 4e-3, 0.05, 4096)
    assert (opt.clip, opt.ema) == (0, 0)


def test_the_overfitting_study_follows_the_basic_recipe_where_the_paper_is_silent() -> None:
    o, basic = composed("experiment=dropout_vit_tiny_32"), composed("experiment=early_dropout_vit_tiny")
    assert (o.dataset.label_smoothing, o.schedule.final * o.optimizer.lr) == (0.1, pytest.approx(1e-6))
    assert (o.optimizer.lr, o.optimizer.weight_decay) == (basic.optimizer.lr, basic.optimizer.weight_decay)
    assert (o.schedule.steps, o.dataset.rand_augment, o.dataset.mixup, o.dataset.erase) == (4000, "", 0, 0)


@pytest.mark.parametrize(("experiment", "lr"), [("cifar100", 1e-2), ("cifar100_224", 8e-3), ("imagenet", 1e-2)])
@pytest.mark.parametrize("scale", [0.01, 10.0], ids=["free", "clipped"])
def test_an_rdrop_step_equals_that_of_the_reference_code(experiment: str, lr: float, scale: float) -> None:
    """R-Drop's ViT code, restated: CE1 + CE2 + 0.3 (KL + KL), the KLs summed over 32 images; SGD, norm clipped at 1."""
    o = composed(f"experiment=rdrop_vit_{experiment}")
    draws = torch.Generator().manual_seed(0)
    passes = scale * torch.randn(3, 2, 32, 8, generator=draws)
    targets = torch.randint(0, 5, (32,), generator=draws)
    start = torch.randn(5, 8, generator=draws)

    theirs = torch.nn.Linear(8, 5, bias=False)
    ours = torch.nn.Linear(8, 5, bias=False)
    for network in (theirs, ours):
        network.load_state_dict({"weight": start.clone()})
    sgd, optimizer = torch.optim.SGD(theirs.parameters(), lr=lr, momentum=0.9), optim.make_optimizer(o.optimizer, ours)
    for first, second in passes:
        a, b = theirs(first), theirs(second)
        p, q = a.log_softmax(-1), b.log_softmax(-1)
        kls = F.kl_div(p, q, reduction="sum", log_target=True) + F.kl_div(q, p, reduction="sum", log_target=True)
        total = F.cross_entropy(a, targets) + F.cross_entropy(b, targets) + 0.3 * kls
        both = losses.loss(ours(torch.cat([first, second])), targets, passes=2, alpha=o.regularizer.alpha).total
        assert 2 * both.item() == pytest.approx(total.item(), rel=1e-5)
        for network, stepper, value, norm in ((theirs, sgd, total, 1.0), (ours, optimizer, both, o.optimizer.clip)):
            stepper.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), norm)
            stepper.step()
    assert not torch.allclose(ours.weight, start)
    torch.testing.assert_close(ours.weight - start, theirs.weight - start, rtol=1e-3, atol=1e-7)


def test_mutual_learning_averages_both_losses_and_adds_six_tenths_of_the_divergence() -> None:
    o = composed("experiment=mutual_plant_growth")
    a, b = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(8) % 4
    p, q = a.log_softmax(-1), b.log_softmax(-1)
    kls = [F.kl_div(x, y, reduction="batchmean", log_target=True) for x, y in ((p, q), (q, p))]
    expected = (F.cross_entropy(a, targets) + F.cross_entropy(b, targets)) / 2 + 0.6 * sum(kls) / 2
    ours = losses.loss(torch.cat([a, b]), targets, passes=2, alpha=o.regularizer.alpha).total
    torch.testing.assert_close(ours, expected)
    assert (o.model.name, o.peer.name) == ("res2net50_26w_4s", "seresnet50")
    assert (o.optimizer.name, o.optimizer.lr, o.optimizer.batch_size) == ("adam", 3e-4, 8)
    assert (o.dataset.image_size, o.dataset.test) == (256, 0.1)
