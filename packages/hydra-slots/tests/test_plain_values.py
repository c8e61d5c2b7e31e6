"""Nested dictionaries without OmegaConf are what Hydra itself composes, or are not offered."""

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from hydra_slots.compositions import Compositions
from hydra_slots.overrides import Reader
from hydra_slots.plain_values import PlainValues

CONFIG = """
defaults: [_self_, reg: none, deep: one]
seed: 0
text: a
none: null
list: [1, 2]
map: {a: 1, b: {c: 2.5}}
"""
PLAIN = [
    ["seed=3"],
    ["reg=drop", "reg.rate=0.5", "seed=1"],
    ["reg=drop", "deep=two", "reg.rate=null", "deep.x.y.z=7", "deep.x.y.w=true"],
    ["text='b c'", "none=1e-3", "map.b.c=nan", "map.a=-2"],
    ['text="it\'s, {so}"', "map.b.c='3'", "seed='x=y'"],
    ["text=''", "seed=007", "none=off"],
    ["seed=1", "seed=2"],
]
OTHERS = [
    ["seed=[1,2]"],
    ["map={a: 2}"],
    ["map.b={c: 1}"],
    ["list=[]"],
    ["list=a"],
    ["+map.b.d=1"],
    ["++seed=1"],
    ["~seed"],
    ["text=${seed}"],
    ["list.0=3"],
    ["reg=refers", "seed=4"],
]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conf")
    files = {
        "config": CONFIG, "reg/none": "rate: 0.0", "reg/drop": "{rate: 0.1, alpha: 0}", "reg/refers": "rate: ${seed}",
        "deep/one": "x: 1", "deep/two": "x: {y: {z: 1, w: null}}",
    }  # fmt: skip
    for name, text in files.items():
        (folder / f"{name}.yaml").parent.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)
    with initialize_config_dir(str(folder), version_base=None):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", [], RunMode.MULTIRUN)
        HydraConfig.instance().set_config(master)
        yield loader, master, Compositions(loader, master, Reader(loader))
    HydraConfig.instance().cfg = None


def both(sweep, texts):
    """The values by ourselves, and those that Hydra composes."""
    loader, master, compositions = sweep
    composed = loader.load_sweep_config(master, texts)
    with open_dict(composed):
        del composed["hydra"]
    return PlainValues(compositions).of(*compositions.split(tuple(texts))), OmegaConf.to_container(
        composed, resolve=True
    )


@pytest.mark.parametrize("texts", PLAIN)
def test_they_are_what_hydra_composes(sweep, texts):
    one, other = both(sweep, texts)
    assert repr(one) == repr(other)  # types and order as well; nan is not equal to itself


@pytest.mark.parametrize("texts", OTHERS)
def test_what_only_omegaconf_can_tell_is_left_to_it(sweep, texts):
    assert both(sweep, texts)[0] is None


def test_groups_of_options_are_shared_by_trials_and_never_changed(sweep):
    compositions = sweep[2]
    plain = PlainValues(compositions)
    one, two, three = (plain.of((), (f"map.b.c={value}", "seed=1")) for value in (1, 1, 2))
    assert one
    assert two
    assert three
    assert one["map"] is two["map"]
    assert one["map"]["b"] == {"c": 1}
    assert three["map"]["b"] == {"c": 2}
    unchanged = plain.of((), ())
    assert unchanged
    assert unchanged["map"] == {"a": 1, "b": {"c": 2.5}}


def test_a_value_that_omegaconf_would_convert_is_left_to_it(sweep):
    loader, master, _ = sweep
    compositions = Compositions(loader, master, Reader(loader))
    compositions.bases[()] = OmegaConf.create({"hydra": {}, "part": OmegaConf.create({"x": 1})})
    assert PlainValues(compositions).of((), ("part.x=2",)) == {"part": {"x": 2}}
    OmegaConf.set_readonly(compositions.bases[()].part, True)
    assert PlainValues(compositions).of((), ("part.x=2",)) is None
