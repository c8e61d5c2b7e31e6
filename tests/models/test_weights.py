"""Weights that are given are the weights that training starts from, or one sentence says why not."""

from pathlib import Path

import pytest
import timm
import torch

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Model
from rdrop_exp.config.schema import OptionError
from rdrop_exp.models import weights
from rdrop_exp.models.build import build_network, create_network

NAME, SMALL = "resnet18", {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
FITS = {"classes": 10, "channels": 3, "image_size": 32}


def saved(path: Path, *, prefix: str = "", classes: int = 10, keep: int | None = None) -> dict[str, torch.Tensor]:
    """A file of weights, and the weights by the model's own names."""
    torch.manual_seed(1)
    state = timm.create_model(NAME, num_classes=classes, **SMALL).state_dict()
    torch.save({prefix + key: value for key, value in list(state.items())[:keep]}, path)
    return state


def created(path: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return create_network(Model(name=NAME, args=SMALL, checkpoint=str(path)), "model", **FITS).state_dict()


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.backbone.", "first."])
def test_weights_are_loaded_under_any_prefix(tmp_path: Path, prefix: str) -> None:
    state = saved(tmp_path / "w.pt", prefix=prefix)
    assert all(torch.equal(value, state[key]) for key, value in created(tmp_path / "w.pt").items())


def test_a_head_of_other_classes_is_initialised_anew(tmp_path: Path) -> None:
    state = saved(tmp_path / "w.pt", classes=7)
    model = created(tmp_path / "w.pt")
    assert model["fc.weight"].shape[0] == 10
    assert all(torch.equal(value, state[key]) for key, value in model.items() if not key.startswith("fc."))


@pytest.mark.parametrize("keep", [1, 6])
def test_a_file_of_few_of_the_weights_is_refused(tmp_path: Path, keep: int) -> None:
    state = saved(tmp_path / "part.pth", keep=keep)
    with pytest.raises(OptionError, match=r"model\.checkpoint=.*part\.pth") as error:
        created(tmp_path / "part.pth")
    assert f"of the {len(state)} tensors" in str(error.value)


def test_a_file_without_weights_is_refused(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(OptionError, match=r"model\.checkpoint=.*empty\.pth"):
        created(tmp_path / "empty.pth")


def test_a_hub_out_of_reach_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def refuse(address: tuple[str, int], timeout: float) -> None:
        asked.append(address)
        raise OSError("no network")

    weights.hub_is_reachable.cache_clear()
    monkeypatch.setattr("socket.create_connection", refuse)
    for name in ("HTTPS_PROXY", "https_proxy", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for _ in range(2):
        with pytest.raises(OptionError, match=r"model\.pretrained=true.*resnet18.*cannot be reached"):
            create_network(Model(name="resnet18", pretrained=True), "model", **FITS)
    assert asked == [weights.HUB]
    weights.hub_is_reachable.cache_clear()


def test_a_batch_of_one_is_refused_where_batch_norm_has_one_value() -> None:
    o = from_dict({"model": {"name": NAME, "args": SMALL}, "optimizer": {"batch_size": 1}})
    with pytest.raises(OptionError, match=r"optimizer\.batch_size=1 .*resnet18.*at least 2"):
        build_network(o, **FITS, device=torch.device("cpu"))
