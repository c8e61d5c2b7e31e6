"""Options of launcher and sweeper: each is refused in one sentence that names it, its value and what is valid."""

import math
from typing import Any

import pytest

import hydra_slots
from hydra_slots.errors import SweepError
from hydra_slots.options import SlotsConf, UnionConf, checked
from tests.foreign import App

DRY = "hydra.launcher.dry_run=true"


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("per_gpu", [0, -1, 1.5, "a", True, None]),
        ("threads", [0, 10**5]),
        ("slots", [0, "", 10**5]),
        ("retries", [-1, 0.5, math.nan]),
        ("timeout", [-1, 0, math.nan, math.inf, "abc", True]),
        ("grace", [-1, math.nan, None]),
        ("stagger", [-0.1, math.inf]),
        ("min_free_memory", [-1]),
        ("fail_fast", ["maybe", 1, None]),
        ("dry_run", ["no"]),
        ("lower_is_better", ["val/loss"]),
        ("metric", [3]),
        ("columns", [3, ["loss"]]),
    ],
)
def test_values_out_of_range_are_refused(option, values):
    for value in values:
        with pytest.raises(SweepError, match=rf"^hydra.launcher.{option}=.* must be .") as error:
            checked(SlotsConf, {option: value})
        assert "\n" not in str(error.value)


def test_valid_values_are_taken():
    given: dict[str, Any] = {"slots": None, "timeout": 3, "grace": 0, "retries": 0, "columns": {"loss": "train/loss"}}
    assert checked(SlotsConf, given) == SlotsConf(**given)
    assert checked(UnionConf, {"ignore": ["a"], "sweep": ""}) == UnionConf(ignore=["a"], sweep="")
    with pytest.raises(SweepError, match=r"hydra.sweeper.ignore=a must be a list"):
        checked(UnionConf, {"ignore": "a"})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hydra.launcher.timeout=-1"], "hydra.launcher.timeout=-1 must be a number of seconds above 0"),
        (["hydra.launcher.timeout=nan"], "hydra.launcher.timeout=nan must be a number of seconds above 0"),
        (["hydra.launcher.gpus=1000"], "hydra.launcher.gpus=1000, but only "),
        (["hydra.sweeper.summary=nowhere:f"], "hydra.sweeper.summary=nowhere:f cannot be imported"),
        (["hydra.launcher.gpus=abc"], "hydra.launcher.gpus=abc must be a number of GPUs, a list"),
        (
            ["hydra.launcher.accumulate_key=seeed"],
            "hydra.launcher.accumulate_key=seeed must be an option of the trials",
        ),
        (["hydra.sweeper.seed_key=seeed"], "hydra.sweeper.seed_key=seeed must be an option of the trials"),
        (["hydra.sweeper.name_key=nope"], "hydra.sweeper.name_key=nope must be an option of the trials"),
        (["hydra.sweeper.ignore=[x,nope]"], "hydra.sweeper.ignore=nope must be an option of the trials"),
        (["hydra.sweeper.sweep=[a]"], "hydra.sweeper.sweep=['a'] must be a text"),
        (["hydra.sweeper.together=x"], "hydra.sweeper.together=x must be two or more keys such as lr+batch_size"),
        (["hydra.sweeper.together=x+"], "hydra.sweeper.together=x+ must be two or more keys"),
    ],
)
def test_nothing_starts_with_options_that_cannot_be(tmp_path, words, sentence):
    app = App(tmp_path, "return 1")
    app.sweep("demo", "title: T")
    done = app.run("x=1,2", "hydra.sweeper.sweep=demo", *words)
    assert done.code == 1
    assert done.err.startswith(sentence)
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_mappings_take_new_keys_on_the_command_line(tmp_path):
    app = App(tmp_path, "return 1", launcher={"columns": {"loss": "train/loss"}})
    assert app.run("hydra.launcher.columns={lr: lr}", "hydra.sweeper.params={x: '7,8'}", DRY).out.startswith("2 trials")


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("hydra.launcher.retires", "hydra.launcher.retries"),
        ("hydra.sweeper.sede_key", "hydra.sweeper.seed_key"),
        ("hydra.launcher.slots", None),
        ("hydra.run.dir", None),
        ("reg.alpha", None),
    ],
)
def test_an_unknown_option_names_the_nearest(key, nearest):
    assert hydra_slots.why_unknown(key) == (f"{key} is not an option; did you mean {nearest}?" if nearest else "")


@pytest.mark.parametrize(
    ("word", "package"),
    [("hydra/launcher=submitit_slurm", "hydra-submitit-launcher"), ("hydra/sweeper=optuna", "hydra-optuna-sweeper")],
)
def test_a_launcher_of_a_package_that_is_missing_says_what_to_install(word, package):
    with pytest.raises(SweepError, match=f"{word} .*pip install {package}"):
        hydra_slots.arguments(["app", "-m", word])
    assert hydra_slots.arguments(["app", "-m", "hydra/launcher=joblib"])[2] == "hydra/launcher=joblib"


def test_keys_that_are_not_joined_by_plus_are_refused():
    with pytest.raises(SweepError, match=r"together=a,b: .* together=a\+b"):
        hydra_slots.arguments(["app", "-m", "together=a,b"])


def test_two_sweeps_at_once_are_refused():
    for words in (["sweep=a,b"], ["sweep=x/a,x/b"], ["sweep=a", "scale=cpu,gpu"]):
        with pytest.raises(SweepError, match=words[-1]):
            hydra_slots.arguments(["app", "-m", *words])
