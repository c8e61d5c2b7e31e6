"""A trial described from nested dictionaries is the one that is described from Hydra's configuration."""

import dataclasses
from typing import Any

import hydra
import pytest
from omegaconf import OmegaConf

from rdrop_exp.cli import hydra_ready
from rdrop_exp.config.compose import options_of
from rdrop_exp.config.schema import OptionError
from rdrop_exp.train import refusals
from rdrop_exp.train.planning import describe

TRIALS = [
    [],
    ["regularizer=rdrop", "regularizer.alpha=1", "seed=3"],
    ["regularizer=early_dropout", "schedule.epochs=4", "regularizer.cutoff_epoch=2"],
    ["model=vit_micro_8", "model.label=mine", "name=a/b"],
    ["dataset=toy_text", "model=bert_micro", "optimizer.batch_tokens=512"],
]


@pytest.fixture(scope="module")
def configurations():
    with hydra_ready():
        return [hydra.compose("train", texts) for texts in TRIALS]


def test_the_trial_is_the_same(configurations, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(refusals, "ask", lambda options, data: None)  # which starts a process
    for cfg in configurations:
        values: Any = OmegaConf.to_container(cfg, resolve=True)
        before = repr(values)
        assert describe(values) == describe(cfg)
        assert describe({**values, "seed": 9}).group == describe(values).group
        assert repr(values) == before


def test_parts_that_are_shared_are_checked_and_not_mixed_up(configurations):
    values: Any = OmegaConf.to_container(configurations[1], resolve=True)
    one, two = options_of(values), options_of({**values, "optimizer": {**values["optimizer"], "lr": 0.5}})
    assert one.regularizer is two.regularizer
    assert (one.optimizer.lr, two.optimizer.lr) == (values["optimizer"]["lr"], 0.5)
    assert dataclasses.asdict(one) == dataclasses.asdict(options_of(configurations[1]))
    for _ in range(2):
        with pytest.raises(OptionError, match=r"optimizer\.lr=x must be a finite number"):
            options_of({**values, "optimizer": {**values["optimizer"], "lr": "x"}})
