"""Options: strict conversion, canonical form, identity, names."""

import ast
import dataclasses
import inspect
from typing import Any

import pytest
import yaml

from rdrop_exp.config import options
from rdrop_exp.config.canonical import canonical
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError, Range, nearest, runtime_fields
from tests.conftest import ROOT, merged


@pytest.mark.parametrize(
    ("values", "message", "more"),
    [
        ({"regularizer": {"alhpa": 1}}, "regularizer.alhpa", "did you mean regularizer.alpha?"),
        ({"x": 1}, "x is not an option", "the choices are"),
        ({"lr": 1}, "lr is not an option", "did you mean optimizer.lr?"),
        ({"regularizer": {"when": "erly"}}, "regularizer.when=erly", "did you mean early?"),
        ({"regularizer": {"alpha": "high"}}, "regularizer.alpha=high", "at least 0"),
        ({"regularizer": {"dropout": 1.5}}, "regularizer.dropout=1.5", "at least 0 and below 1"),
        ({"regularizer": {"dropout": float("nan")}}, "regularizer.dropout=nan", "at least 0 and below 1"),
        ({"regularizer": {"alpha": float("inf")}}, "regularizer.alpha=inf", "finite"),
        ({"regularizer": {"gamma": float("inf")}}, "regularizer.gamma=inf", "finite"),
        ({"schedule": {"epochs": 0}}, "schedule.epochs=0", "at least 1"),
        ({"schedule": {"epochs": 2.5}}, "schedule.epochs=2.5", "whole number"),
        ({"schedule": {"epochs": True}}, "schedule.epochs=True", "whole number"),
        ({"schedule": {"steps": 10**26}}, "schedule.steps=1000", ""),
        ({"seed": None}, "seed=null", "whole number"),
        ({"threads": 100_000}, "threads=100000", ""),
        ({"model": 3}, "model=3", "group"),
        ({"dataset": {"mean": [0.5, "a"]}}, "dataset.mean=[0.5, 'a']", "list"),
        ({"dataset": {"mean": [0.5, float("nan")]}}, "dataset.mean=[0.5, nan]", "list"),
        ({"model": {"name": "x" * 500}, "schedule": {"epochs": "y" * 500}}, "schedule.epochs=yyy", ""),
        ({"regularizer": {"dropout": 0.1, "when": "early"}}, "regularizer.when=early", "regularizer.cutoff_epoch"),
        ({"regularizer": {"alpha": 0.5}}, "regularizer.alpha=0.5", "regularizer.dropout"),
        ({"regularizer": {"alpha": 1, "dropout": 0.1, "passes": 1}}, "regularizer.passes=1", "regularizer.tie=teacher"),
        ({"regularizer": {"alpha": 1, "dropout": 0.1, "tie": "teacher"}}, "regularizer.tie=teacher", "optimizer.ema"),
        (
            {"regularizer": {"alpha": 1, "tie": "teacher"}, "peer": {"name": "resnet18"}, "optimizer": {"ema": 0.9}},
            "regularizer.tie=teacher",
            "peer",
        ),
        (
            {"regularizer": {"dropout": 0.1, "when": "late", "cutoff_epoch": 31}},
            "regularizer.cutoff_epoch=31",
            "schedule.epochs=30",
        ),
        ({"name": "a/../../b"}, "name=a/../../b", "output_dir"),
        ({"name": "/etc"}, "name=/etc", "output_dir"),
        ({"name": ""}, "name=", "output_dir"),
        ({"name": "x" * 300}, "name=xxx", ""),
        ({"model": {"args": {"drop_rate": 0.5}}}, "model.args.drop_rate=0.5", ""),
        ({"peer": {"args": {"drop_path_rate": 0.5}}}, "peer.args.drop_path_rate=0.5", ""),
        ({"model": {"args": {"in_chans": 1}}}, "model.args.in_chans=1", ""),
        ({"optimizer": {"batch_size": 10, "accumulate": 4}}, "optimizer.accumulate=4", "optimizer.batch_size=10"),
        (
            {"regularizer": {"patch_dropout": 0.5, "when": "increasing"}, "compile": True},
            "regularizer.patch_dropout=0.5",
            "when=always",
        ),
        (
            {"regularizer": {"patch_dropout": 0.5}, "model": {"args": {"patch_drop_rate": 0.1}}},
            "model.args.patch_drop_rate=0.1",
            "regularizer.patch_dropout=0.5",
        ),
        (
            {"regularizer": {"dropout": 0.5, "dropout_profile": "reversed"}},
            "regularizer.dropout_profile=reversed",
            "regularizer.dropout",
        ),
        ({"regularizer": {"head_dropout": 0.2, "when": "v_shaped"}}, "regularizer.when=v_shaped", "cutoff_epoch"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(values: dict[str, Any], message: str, more: str) -> None:
    with pytest.raises(OptionError) as error:
        from_dict(values)
    assert str(error.value).startswith(message)
    assert more in str(error.value)
    assert "\n" not in str(error.value)


def test_defaults_are_valid_and_round_trip() -> None:
    options = from_dict({})
    assert options == Options()
    assert from_dict(dataclasses.asdict(options)) == options


def test_whole_numbers_become_floats() -> None:
    assert (
        trial_spec(from_dict({"regularizer": {"dropout": 0.1, "alpha": 1}})).identity
        == trial_spec(from_dict({"regularizer": {"dropout": 0.1, "alpha": 1.0}})).identity
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"when": "never"}, {"when": "never", "alpha": 0.5, "dropout": 0.2, "cutoff_epoch": 3.0}),
        ({"dropout": 0.1}, {"dropout": 0.1, "passes": 4, "every": 3, "stop_gradient": True, "second_dropout": 0.3}),
        ({"dropout": 0.1}, {"dropout": 0.1, "tie": "teacher", "passes": 1, "multi_sample": True}),
        ({"dropout": 0.1, "alpha": 1}, {"dropout": 0.1, "alpha": 1, "multi_sample": True}),
        ({"when": "never"}, {"multi_sample": True, "passes": 3, "tie": "teacher"}),
        (
            {"dropout": 0.1, "multi_sample": True},
            {"dropout": 0.1, "multi_sample": True, "every": 3, "divergence": "mse"},
        ),
        ({"dropout": 0.1}, {"dropout": 0.1, "cutoff_epoch": 3, "ramp": "linear", "gamma": 0.5, "profile": "constant"}),
        ({"drop_path": 0.1}, {"drop_path": 0.1, "sites": "rdrop", "dropout_profile": "linear", "block_size": 3}),
        (
            {"drop_key": 0.1, "when": "v_shaped", "cutoff_epoch": 3},
            {"drop_key": 0.1, "when": "v_shaped", "cutoff_epoch": 3, "ramp": "cosine", "gamma": 0.5},
        ),
        (
            {"dropout": 0.1, "when": "early", "cutoff_epoch": 15},
            {"dropout": 0.1, "when": "early", "cutoff_share": 0.5},
        ),
        ({"dropout": 0.1, "alpha": 1.0}, {"dropout": 0.1, "alpha": 1.0, "second_dropout": 0.1}),
        ({"when": "never"}, {"dropout": 0.1, "when": "early", "cutoff_epoch": 0}),
        ({"when": "never"}, {"dropout": 0.1, "when": "early", "cutoff_share": 0, "alpha": 1.0}),
        ({"when": "never"}, {"dropout": 0.1, "when": "late", "cutoff_epoch": 30}),
        ({"when": "never"}, {"dropout": 0.1, "when": "late", "cutoff_share": 1}),
        ({"dropout": 0.1}, {"dropout": 0.1, "when": "late", "cutoff_epoch": 0}),
        ({"dropout": 0.1}, {"dropout": 0.1, "when": "late", "cutoff_share": 0}),
    ],
)
def test_options_that_cannot_matter_do_not_change_the_identity(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (
        trial_spec(from_dict({"regularizer": one})).identity == trial_spec(from_dict({"regularizer": other})).identity
    )


def _leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if dataclasses.is_dataclass(value):
        return [leaf for f in dataclasses.fields(value) for leaf in _leaves(getattr(value, f.name), (*path, f.name))]
    return [path]


BASE: dict[str, Any] = {
    "peer": {"name": "resnet18"},
    "dataset": {"name": "image_csv"},
    "regularizer": {"dropout": 0.1, "drop_path": 0.1, "second_dropout": 0.2, "alpha": 1.0},
}
PAIRS = (
    "source", "target", "tokenizer", "vocabulary", "vocabulary_size", "max_length", "too_long", "batch_tokens", "beams",
    "length_penalty", "min_length", "no_repeat",
)  # fmt: skip
NEEDS: dict[str, dict[str, Any]] = {  # what makes an option matter
    "cutoff_epoch": {"regularizer": {"when": "early", "cutoff_epoch": 1.0, "ramp": "linear"}},
    "ramp": {"regularizer": {"when": "early", "cutoff_epoch": 1.0}},
    "cutoff_share": {"regularizer": {"when": "early", "cutoff_share": 0.1}, "schedule": {"steps": 100}},
    "gamma": {"regularizer": {"when": "annealed"}},
    "tie": {"peer": {"name": ""}, "optimizer": {"ema": 0.9}},
    "multi_sample": {"peer": {"name": ""}, "regularizer": {"every": 2}},
    "block_size": {"regularizer": {"drop_block": 0.1}},
    "final": {"schedule": {"shape": "linear"}},
    "step_epochs": {"schedule": {"shape": "step"}},
    "step_factor": {"schedule": {"shape": "step"}},
    "layout": {"dataset": {"name": "image_folder"}},
    "momentum": {"optimizer": {"name": "sgd"}},
    **{name: {"dataset": {"name": "text_csv"}} for name in ("text_column", "second_column", "label_kind")},
    **{name: {"dataset": {"name": "parallel"}} for name in PAIRS},
}
STREAMED = ("scale", "rand_augment", "color_jitter", "interpolation")
OTHER = {
    "when": "annealed", "ramp": "cosine", "shape": "linear", "profile": "constant", "precision": "bf16",
    "select": "last", "divergence": "mse", "interpolation": "random", "scale": [0.5, 1.0], "image_size": 40,
    "steps": 7, "warmup_steps": 7, "limit": 3, "mean": [0.1], "std": [0.1], "args": {"a": 1}, "fraction": 0.5,
    "passes": 3, "second_dropout": 0.4, "label_kind": "value", "tokenizer": "bpe", "too_long": "error",
    "validate": "loss", "batch_tokens": 4096, "tie": "teacher", "dropout_profile": "reversed", "pause_epoch": 3,
}  # fmt: skip


@pytest.mark.parametrize("path", _leaves(Options()), ids=".".join)
def test_every_option_that_can_change_a_result_is_part_of_the_identity(path: tuple[str, ...]) -> None:
    """Changing any option changes the identity, unless it is marked as one that cannot change a result."""
    name = path[-1]
    values = merged(BASE, NEEDS.get(name, {}), {"dataset": {"resident": name not in STREAMED}})
    if name in ("passes", "second_dropout"):
        values = merged(values, {"peer": {"name": ""}})
    options, changed = from_dict(values), from_dict(values)
    part = changed
    for key in path[:-1]:
        part = getattr(part, key)
    value = getattr(part, name)
    if name in OTHER:
        value = OTHER[name]
    else:
        value = not value if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else f"{value}x"
    setattr(part, name, value)
    runtime = [".".join(p) for p in runtime_fields(Options)]
    matters = not any(".".join(path) == r or ".".join(path).startswith(r + ".") for r in runtime)
    assert (trial_spec(options).identity != trial_spec(changed).identity) == matters


def test_an_added_option_at_its_default_leaves_the_identity_as_it_was() -> None:
    """The identities of these trials were taken before `dataset.broken` existed."""
    o = from_dict({"dataset": {"name": "image_folder", "root": "photos"}})
    skipping = from_dict({"dataset": {"name": "image_folder", "root": "photos", "broken": "skip"}})
    assert trial_spec(o).identity == "6ef34bff44"
    assert trial_spec(skipping).identity != "6ef34bff44"
    elsewhere = from_dict({"dataset": {"broken": "skip"}})
    assert trial_spec(elsewhere).unused == ("dataset.broken",)
    assert trial_spec(elsewhere).identity == trial_spec(from_dict({})).identity


def test_reset_options_are_named() -> None:
    reset = canonical(from_dict({"regularizer": {"when": "never", "alpha": 0.5}}))[1]
    assert reset == ["regularizer.alpha"]


def test_canonical_form_is_idempotent() -> None:
    o = canonical(from_dict({"regularizer": {"dropout": 0.1, "when": "early", "cutoff_share": 0.5, "passes": 5}}))[0]
    again, reset = canonical(o)
    assert again == o
    assert reset == []


def test_trials_of_a_group_differ_by_seed_only() -> None:
    a, b = from_dict({"seed": 0}), from_dict({"seed": 1})
    assert trial_spec(a).identity != trial_spec(b).identity
    assert trial_spec(a).group == trial_spec(b).group


def test_readable_name() -> None:
    r = {"dropout": 0.1, "when": "early", "cutoff_epoch": 5.0}
    assert trial_spec(from_dict({"regularizer": r})).name == "digits-vit_tiny_patch16_224-early_dropout-p0.1-until5-s0"
    peer = {"name": "resnet50", "label": "r50"}
    assert trial_spec(from_dict({"peer": peer, "regularizer": {"alpha": 0.5}})).name == (
        "digits-vit_tiny_patch16_224+r50-mutual-a0.5-s0"
    )


@pytest.mark.parametrize(
    ("regularizer", "name"),
    [
        ({}, "none"),
        ({"dropout": 0.1}, "dropout"),
        ({"drop_path": 0.1, "when": "late", "cutoff_epoch": 1}, "late_stochastic_depth"),
        ({"dropout": 0.1, "alpha": 1}, "rdrop"),
        ({"drop_path": 0.1, "alpha": 1, "when": "early", "cutoff_epoch": 1}, "rdrop_early_stochastic_depth"),
        ({"dropout": 0.1, "drop_path": 0.1, "alpha": 1}, "rdrop_stochastic_depth"),
        ({"dropout": 0.1, "drop_path": 0.1}, "dropout_stochastic_depth"),
        ({"drop_path": 0.1, "multi_sample": True}, "multi_sample_stochastic_depth"),
        ({"dropout": 0.1, "name": "mine"}, "mine"),
        ({"dropout": 0.1, "name": "mine", "when": "never"}, "none"),
    ],
)
def test_a_regularizer_is_named_by_its_options(regularizer: dict[str, Any], name: str) -> None:
    assert canonical(from_dict({"regularizer": regularizer}))[0].regularizer.name == name


def test_presets_are_named_after_their_files() -> None:
    for path in (ROOT / "conf/regularizer").glob("*.yaml"):
        values = {"regularizer": yaml.safe_load(path.read_text().replace("1e-3", "0.001"))}
        needs: dict[str, dict[str, Any]] = {
            "mutual": {"peer": {"name": "resnet18"}},
            "rdrop_teacher": {"optimizer": {"ema": 0.9}},
        }
        options = from_dict(values | needs.get(path.stem, {}))
        assert path.stem.startswith(canonical(options)[0].regularizer.name), path.name


def test_every_option_has_a_docstring() -> None:
    tree = ast.parse(inspect.getsource(options))
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        for here, below in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(here, ast.AnnAssign):
                assert isinstance(below, ast.Expr), f"{node.name}.{ast.unparse(here.target)}"


def test_nearest_and_range() -> None:
    assert nearest("rdorp", ["rdrop", "none"]) == "; did you mean rdrop?"
    assert nearest("resnet5", ["resnet50", "xresnet5"]) == "; did you mean resnet50?"
    assert 0.0 in Range(0, 1)
    assert 1.0 not in Range(0, 1, open_right=True)
