"""rdrop-choose: its errors, what a round asks of the launcher, and a whole choice with trials that are not trained."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import yaml

from rdrop_exp.choose import cli, launching
from rdrop_exp.choose.composing import composed, parse
from rdrop_exp.choose.launching import TrialCost
from rdrop_exp.choose.plan import BASELINE, CONFIRM_SEED, Setting
from rdrop_exp.choose.setting import examine, standard_noise, without_rates
from rdrop_exp.choose.trials import Trials, label, overrides_of
from rdrop_exp.cli import hydra_ready
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.runs.folder import describe, trial_folder

RDROP = Setting("rdrop_stochastic_depth", (2, 2))
SMALLEST = ["schedule.epochs=1", "logger=local", "logger.progress=false"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("regularizer=rdrop --trials 60", "regularizer"),
        ("model=nothing --trials 60", "model=nothing"),
        ("", "--trials"),
        ("regularizer.dropout=0.3 --trials 60", "regularizer.dropout"),
        ("seed=3 --trials 60", "seed"),
        ("model --trials 60", "model is not an option: write key=value"),
        ("schedule.epochs=[1 --trials 60", "schedule.epochs=[1"),
        ("modle=resnet18 --trials 60", "did you mean model?"),
        ("hydra.launcher.slot=2 --budget 1h", "did you mean hydra.launcher.slots?"),
        ("--gpu-hours 0", "--gpu-hours=0"),
        ("model=vit_micro_8,resnet_micro_8 --trials 60", "model=vit_micro_8,resnet_micro_8"),
        ("--trials 20", "--trials=20"),
        ("--budget 4x", "--budget=4x"),
        ("--budget 0h", "--budget=0h"),
        ("--trials 60 --smallest 0", "--smallest=0"),
        ("hydra/launcher=joblib --budget 1h", "--gpu-hours"),
        ("--trials 60 --config-dir nowhere", "nowhere"),
    ],
)
def test_user_errors_are_one_sentence(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words.split()) == 2
    output = capsys.readouterr()
    assert output.err.startswith("rdrop-choose: ")
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert not list(tmp_path.iterdir())


def test_a_model_without_noise_sites(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("rdrop_exp.noise.install.find_sites", lambda *_: [])
    monkeypatch.setattr("rdrop_exp.choose.session.run_sweep", pytest.fail)
    assert cli.main(["model=vit_micro_8", "--trials", "60"]) == 2
    error = capsys.readouterr().err
    assert "vit_micro_8" in error or "vit" in error
    assert error.count("\n") == 1


def test_a_time_that_is_too_short_says_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cost = TrialCost(trial=30.0, startup=1.0)
    monkeypatch.setattr("rdrop_exp.choose.session.measure_cost", lambda given: cost)
    monkeypatch.chdir(tmp_path)
    assert cli.main([*SMALLEST, "--budget", "1s"]) == 2
    error = capsys.readouterr().err
    assert "--budget=1s" in error
    assert " min" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "value"), [("30m", 0.5), ("4h", 4.0), ("1.5h", 1.5), ("2d", 48.0), ("90min", 1.5)])
def test_times(text: str, value: float) -> None:
    assert cli.hours(text) == pytest.approx(value)


def test_overrides_are_read_as_rdrop_exp_reads_them() -> None:
    words = ["model.name=resnet18", "model.args.stem_width=16", "dataset=image_folder", "dataset.root=/data (mine)"]
    overrides, launcher = parse([*words, "hydra.launcher.slots=1"])
    assert overrides == {
        "model": "timm", "model.name": "resnet18", "++model.args.stem_width": "16", "dataset": "image_folder",
        "dataset.root": "'/data (mine)'",
    }  # fmt: skip
    with hydra_ready():
        assert composed(overrides).dataset.root == "/data (mine)"
    assert launcher == ["hydra.launcher.slots=1"]
    assert [slot.threads for slot in launching.worker_slots([*launcher, "hydra.launcher.threads=2"])] == [2]


@pytest.mark.parametrize(("model", "noise"), [("resnet_micro_8", "stochastic_depth"), ("vit_micro_8", "dropout")])
def test_a_setting_knows_its_noise_and_sizes(model: str, noise: str) -> None:
    with hydra_ready():
        given = examine({"model": model}, [])
    assert given.noise == noise
    assert given.branches
    assert (given.per_epoch, given.sizes["train"]) == (10, 1294)


@pytest.mark.parametrize(
    ("words", "metric", "higher", "smallest"),
    [
        ({"dataset": "toy_text", "model": "bert_micro"}, "accuracy", True, 0.4),
        ({"dataset": "toy_language", "model": "gpt_micro"}, "perplexity", False, 0.5),
        ({"dataset": "toy_translation", "model": "transformer_small"}, "bleu", True, 0.4),
        ({"dataset": "toy_translation", "model": "transformer_small", "validate": "loss"}, "loss", False, 0.01),
    ],
)
def test_texts_have_their_own_metric(words: dict[str, str], metric: str, higher: bool, smallest: float) -> None:
    pytest.importorskip("transformers")
    with hydra_ready():
        given = examine(words, [])
    assert (given.scale.metric, given.scale.higher_is_better, given.scale.smallest) == (metric, higher, smallest)
    assert given.noise == "dropout"
    assert given.steps > 0
    gain = given.scale.value({f"val/{metric}": 3.0}, "val")
    assert (gain is not None and gain > 0) == higher


def test_one_class_is_nothing_to_choose_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    for i in range(20):
        path = tmp_path / "photos" / "only" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["dataset=image_folder", "dataset.root=photos", "--trials", "60"]) == 2
    error = capsys.readouterr().err
    assert "class" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_rates_of_an_experiment_do_not_join_the_pilots_own() -> None:
    overrides = {"experiment": "early_stochastic_depth_vit_tiny", "model": "vit_micro_8", "dataset": "digits"}
    with hydra_ready():
        assert composed(overrides | standard_noise("dropout")).regularizer.drop_path > 0
        reset = without_rates(overrides)
        assert reset == overrides | {"regularizer.drop_path": 0}
        r = composed(reset | standard_noise("dropout")).regularizer
        assert (r.dropout, r.drop_path, r.when, r.alpha) == (0.1, 0, "always", 0)
        r = composed(reset | standard_noise("stochastic_depth")).regularizer
        assert (r.dropout, r.drop_path, r.when, r.alpha) == (0, 0.1, "always", 0)


def truth(overrides: dict[str, Any], seed: int) -> float:
    """R-Drop gains four points; seeds and settings add up to a point each."""
    shared, own = (crc32(text.encode()) % 101 / 10_000 for text in (str(seed), f"{seed} {sorted(overrides.items())}"))
    return 0.9 + shared + own + 0.04 * str(overrides["regularizer"]).startswith("rdrop")


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Sweeps are written down, and their trials get results that nothing was trained for."""
    sweeps: list[dict[str, Any]] = []
    compose = cache(lambda items: composed(dict(items)))

    def launch(given: Any, folder: Path, name: str, sweep: dict[str, Any], look: Any) -> None:
        sweeps.append(sweep)
        look()
        for grid in sweep["grids"]:
            for seed in grid["repeat"]["seed"]:
                options = compose(tuple((sweep["overrides"] | grid["overrides"]).items()))
                spec = trial_spec(replace(options, seed=seed, name=sweep["name"]))
                folder = trial_folder(spec)
                folder.mkdir(parents=True)
                value = truth(grid["overrides"], seed)
                metrics = {"val/accuracy": value, "test/accuracy": value, "train/loss": 0.1, "train/accuracy": 1.0}
                result = {**describe(spec), "status": "finished", "metrics": metrics, "seconds": 2.0, "steps": 10}
                (folder / "result.json").write_text(json.dumps(result))

    monkeypatch.setattr("rdrop_exp.choose.session.run_sweep", launch)
    monkeypatch.chdir(tmp_path)
    return sweeps


def test_a_whole_choice_and_the_same_again(
    launched: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALLEST, "--trials", "60"]
    assert cli.main(words) == 0
    output = capsys.readouterr().out
    assert output.startswith("Budget: 60 trials.\nPilot: 4 seeds each of none and stochastic_depth")
    assert "[1] pilot: 8 trials, 60 trials left\n" in output
    assert "With 60 trials I can tell differences of" in output
    assert "on training batches 100.00" in output
    assert "Use rdrop_stochastic_depth" in output
    assert "on test over none" in output
    assert launched[-1]["name"] == "choose_confirm"
    assert {sweep["name"] for sweep in launched[:-1]} == {"choose"}
    folder = tmp_path / "outputs" / "choose"
    state = yaml.safe_load((folder / "choose.yaml").read_text())
    assert state["budget"] == 60
    page = (folder / "report.html").read_text()
    assert 'id="race-data"' in page
    assert "drawRace();" in page
    count = len(launched)
    assert cli.main(words) == 0  # again: nothing is trained, everything is decided as before
    assert len(launched) == count
    assert capsys.readouterr().out == output
    assert cli.main([*SMALLEST, "--trials", "70"]) == 2
    assert "was started with budget=60.0, not budget=70.0: use another --name" in capsys.readouterr().err
    assert cli.main([*words, "schedule.steps=20"]) == 2
    assert "no schedule.steps, not schedule.steps=20" in capsys.readouterr().err
    assert cli.main([*SMALLEST, "--trials", "60", "--name", "other"]) == 0  # trials of another experiment are used
    assert len(launched) == count


def test_the_answer_is_an_experiment_with_the_identity_of_the_trial(launched: list[Any], tmp_path: Path) -> None:
    with hydra_ready():
        given = examine({"schedule.epochs": "3", "model": "vit_micro_8"}, [])
        trials = Trials(given, "choose", None)
        path = trials.write_answer(RDROP, tmp_path / "mine", ["Use it."])
        assert path == tmp_path / "mine" / "experiment" / "answer.yaml"
        answer = trial_spec(composed({"experiment": "answer"}, tmp_path / "mine"))
        assert answer.identity == trials.spec((RDROP, 0)).identity
        assert answer.options.regularizer.alpha == 0.5


def test_stopping_after_the_race_shows_nothing_of_the_test_set(
    launched: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*SMALLEST, "--trials", "60", "--stop-after", "race"]) == 0
    assert all(sweep["name"] == "choose" for sweep in launched)
    output = capsys.readouterr().out
    assert "on test" not in output
    page = (tmp_path / "outputs" / "choose" / "report.html").read_text()
    assert '"measure":"val"' in page
    assert cli.main([*SMALLEST, "--trials", "60"]) == 0  # goes on with the confirmation
    assert launched[-1]["name"] == "choose_confirm"


def test_the_pilot_alone(launched: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*SMALLEST, "--trials", "60", "--stop-after", "pilot"]) == 0
    assert len(launched) == 1
    output = capsys.readouterr().out
    assert "Overfitting or underfitting is not clear yet" in output
    assert "s per trial" in output
    assert "With 60 trials I can tell differences of" in output
    assert output.endswith(f"Go on: rdrop-choose {' '.join(SMALLEST)} --trials 60\n")
    assert "answer" not in output


def test_a_dry_run_writes_nothing(launched: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*SMALLEST, "--trials", "60", "--dry-run"]) == 0
    assert "Pilot: 4 seeds each" in capsys.readouterr().out
    assert launched == []
    assert not list(tmp_path.iterdir())


def test_a_budget_of_time_is_counted_in_time(
    launched: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cost = TrialCost(trial=0.5, startup=1.0)
    monkeypatch.setattr("rdrop_exp.choose.session.measure_cost", lambda given: cost)
    assert cli.main([*SMALLEST, "--budget", "2m", "--stop-after", "pilot", "hydra.launcher.slots=2"]) == 0
    assert "2 min left" in capsys.readouterr().out
    state = yaml.safe_load((tmp_path / "outputs" / "choose" / "choose.yaml").read_text())
    assert (state["budget"], state["unit"]) == (120, "seconds")


def test_a_round_as_a_sweep(launched: list[Any]) -> None:
    with hydra_ready():
        trials = Trials(examine({}, []), "choose", 2.0)
        seeds = (CONFIRM_SEED, CONFIRM_SEED + 1)
        content = trials.sweep([(s, n) for n in seeds for s in (BASELINE, RDROP)], "Choice: confirm, round 7", 0.4)
    assert content["name"] == "choose_confirm"
    assert content["title"] == "Choice: confirm, round 7"
    assert content["seeds"] == 2
    assert content["baseline"] == "none"
    assert content["grids"][1] == {"overrides": overrides_of(RDROP), "repeat": {"seed": [1000, 1001]}}
    assert label(RDROP) == "rdrop_stochastic_depth drop_path=0.1 alpha=0.5"
