"""Models of one's own and torchvision's: trained and reported as timm's, or refused before anything is written."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from rdrop_exp.config.arguments import arrange
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.options import Model
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.datasets import Preview, preview
from rdrop_exp.models.build import create_network
from rdrop_exp.train.refusals import question, refusal
from tests.conftest import Command

MODULE = """
from torch import nn

def small(classes, channels, image_size, width=16):
    layers = [nn.Flatten(), nn.Linear(channels * image_size**2, width), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(width, classes))

def needs_memory(**fitted):
    model = small(**fitted)
    model[-1].bias.data[0] = model[-1].weight.sum().item()
    return model

def fixed(classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32**2, classes))

def wide(classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, classes + 1))

def number(**fitted):
    return 3

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, images):
        return images, images

def pair(**fitted):
    return Pair()
"""
FITS = {"classes": 10, "channels": 1, "image_size": 8}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of one's own in the current directory."""
    (tmp_path / "own_models.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_models"


def test_a_sweep_of_a_function_of_ones_own(own: str, command: Command, tmp_path: Path) -> None:
    words = [
        "-m",
        f"model.name={own}:small",
        "debug=tiny",
        "regularizer=none,rdrop",
        "name=mine",
        "hydra.launcher.slots=1",
    ]
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert "own_models:small" in done.stdout  # the report's setting
    names = sorted(path.name[:-11] for path in (tmp_path / "outputs/mine").iterdir() if path.is_dir())
    assert names == [f"digits-{own}_small-none-s0", f"digits-{own}_small-rdrop-p0.1-a0.5-s0"]
    assert "2 finished" in command(*words).stdout  # none runs again


def test_the_plan_refuses_before_anything_is_written(own: str, command: Command, tmp_path: Path) -> None:
    done = command("-m", f"model.name={own}:smal", "regularizer=dropout", "seed=0,1")
    assert done.returncode == 2
    assert "did you mean small" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("outputs/**/config.yaml"))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"name": "own_model:small"}, "own_model not found"),
        ({"name": "torchvision:resnet81"}, "did you mean resnet18"),
        ({"name": "own_models:small", "sites": {"mlp": ["nope"]}}, "model.sites.mlp=nope"),
        ({"name": "own_models:small", "args": {"depth": 2}}, "depth"),
        ({"name": "own_models:small"}, ""),
        ({"name": "own_models:needs_memory"}, ""),  # tried with memory, where it cannot be built without
        ({"name": "own_models:fixed"}, "own_models:fixed cannot take 8x8 images with 1 channels"),
        ({"name": "own_models:wide"}, "own_models:wide is not a classifier"),
        ({"name": "own_models:number"}, "own_models:number returned a int"),
        ({"name": "own_models:pair", "sites": {"mlp": ["linear"]}}, "own_models:pair gives a tuple"),
    ],
)
def test_what_the_plan_asks(own: str, model: dict[str, Any], says: str) -> None:
    options = from_dict({"model": model, "regularizer": {"dropout": 0.1}})
    reason = refusal(json.loads(question(options, preview(options.dataset))))
    assert says in reason
    assert bool(says) == bool(reason)
    assert "\n" not in reason


def test_a_model_for_unknown_sizes_is_not_built(own: str) -> None:
    options = from_dict({"model": {"name": "own_models:fixed"}})
    assert refusal(json.loads(question(options, Preview("", "")))) == ""


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0"])
def test_torchvisions_models_fit_the_data(name: str) -> None:
    model = create_network(Model(name=f"torchvision:{name}"), "model", **FITS).eval()
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_weights_of_ones_own_model(own: str, tmp_path: Path) -> None:
    part = Model(name=f"{own}:small", checkpoint=str(tmp_path / "w.pt"))
    state = create_network(Model(name=part.name), "model", **FITS | {"classes": 7}).state_dict()
    torch.save(state, part.checkpoint)
    assert torch.equal(create_network(part, "model", **FITS).state_dict()["1.weight"], state["1.weight"])
    del state["1.weight"]
    torch.save(state, part.checkpoint)
    with pytest.raises(OptionError, match=r"1\.weight"):
        create_network(part, "model", **FITS)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_sites_are_part_of_the_identity_where_there_is_noise(dropout: float) -> None:
    plain, noise = {"name": "own_models:small"}, {"dropout": dropout}
    one, other = (
        trial_spec(from_dict({"model": plain | extra, "regularizer": noise}))
        for extra in ({}, {"sites": {"mlp": ["3"]}})
    )
    assert (one.identity != other.identity) == (dropout > 0)


def test_the_command_line_takes_sites() -> None:
    (word,) = arrange(["model.sites.mlp=[blocks.*.fc2]"])
    assert OverridesParser.create().parse_override(word).value() == ["blocks.*.fc2"]
