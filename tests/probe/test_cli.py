"""rdrop-probe: its options and errors, what it learns of a setting, and whole runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rdrop_exp.probe import cli, conditions, setting
from rdrop_exp.probe.conditions import DROPOUT, STOCHASTIC_DEPTH
from rdrop_exp.probe.setting import composed, examine, hydra_ready, parse
from rdrop_exp.train import trial
from tests.probe.helpers import COST


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("regularizer=rdrop", "regularizer"),
        ("regularizer.dropout=0.3", "regularizer.dropout"),
        ("seed=3", "seed"),
        ("sweep=claims/alpha", "sweep"),
        ("dataset=digits,cifar10", "dataset=digits,cifar10"),
        ("model", "model is not an option: write key=value"),
        ("schedule.epochs=[1", "schedule.epochs=[1"),
        ("modle=resnet18", "did you mean model?"),
        ("schedule.epochs=0", "schedule.epochs=0"),
        ("model=nothing", "model=nothing"),
        ("hydra.launcher.slot=2", "did you mean hydra.launcher.slots?"),
        ("hydra.launcher.slots=0", "hydra.launcher.slots=0"),
        ("dataset=toy_text model=bert_micro", "dataset=toy_text"),
        ("--trials 3", "--trials=3"),
        ("--minutes 0", "--minutes=0"),
        ("--rates 0.1,2", "--rates=0.1,2"),
        ("--rates often", "--rates=often"),
    ],
)
def test_user_errors_are_one_sentence(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words.split()) == 2
    output = capsys.readouterr()
    assert output.err.startswith("rdrop-probe: ")
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert not list(tmp_path.iterdir())


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
    assert [slot.threads for slot in setting.worker_slots([*launcher, "hydra.launcher.threads=2"])] == [2]


@pytest.mark.parametrize(
    ("model", "noise"), [("resnet_micro_8", STOCHASTIC_DEPTH), ("vit_micro_8", DROPOUT)], ids=["resnet", "vit"]
)
def test_a_setting_knows_its_noise_and_sizes(model: str, noise: conditions.StandardNoise) -> None:
    with hydra_ready():
        given = examine({"model": model}, [])
    assert given.noise == noise
    assert given.branches
    assert given.per_epoch == 10
    assert given.sizes["train"] == 1294


def test_rates_of_an_experiment_do_not_join_the_probes_own() -> None:
    overrides = {"experiment": "early_stochastic_depth_vit_tiny", "model": "vit_micro_8", "dataset": "digits"}
    with hydra_ready():
        assert composed(overrides | DROPOUT.overrides(0.1)).regularizer.drop_path > 0
        reset = setting.without_rates(overrides)
        assert reset == overrides | {"regularizer.drop_path": 0}
        r = composed(reset | DROPOUT.overrides(0.1)).regularizer
        assert (r.dropout, r.drop_path, r.when, r.alpha) == (0.1, 0, "always", 0)
        r = composed(reset | STOCHASTIC_DEPTH.overrides(0.2)).regularizer
        assert (r.dropout, r.drop_path, r.when, r.alpha) == (0, 0.2, "always", 0)


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Trials run in this process instead of a sweep of their own; the list is of the times they were given."""
    times: list[float | None] = []

    def launch(given: setting.ProbeSetting, name: str, sweep: dict[str, Any], seconds: float | None) -> None:
        times.append(seconds)
        with hydra_ready():
            for grid in sweep["grids"]:
                overrides = given.overrides | grid["overrides"] | {"name": sweep["name"]}
                trial.run(composed(overrides, given.config_dir))

    monkeypatch.setattr(cli, "launch", launch)
    monkeypatch.setattr(setting, "measure_cost", lambda given: COST)
    monkeypatch.chdir(tmp_path)
    return times


SMALLEST = ["schedule.epochs=1", "logger=local", "logger.progress=false", "dataset.limit=2", "dataset.fraction=0.5"]


def test_a_whole_probe(inside: list[float | None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=vit_micro_8", *SMALLEST, "--trials", "4", "--name", "mine"]
    assert cli.main(words) == 0
    output = capsys.readouterr().out
    assert output.startswith("4 trials, about 4 min from scratch: 2 seeds without and with dropout 0.1\n")
    assert "Verdict: " in output
    assert "given setting, dropout 0.1: " in output
    assert "rdrop-exp -m sweep=mine_next hydra.sweeper.folder=sweeps" in output
    assert inside == [None]
    written = tmp_path / "sweeps" / "mine_next.yaml"
    content = yaml.safe_load(written.read_text())
    assert content["name"] == "mine"
    assert content["overrides"]["model"] == "vit_micro_8"
    assert len([folder for folder in (tmp_path / "outputs" / "mine").iterdir() if folder.is_dir()]) == 4
    results = {path: path.stat().st_mtime_ns for path in (tmp_path / "outputs" / "mine").glob("*/result.json")}
    assert len(results) == 4
    assert cli.main(words) == 0  # again: nothing runs twice, and the sweep file is its own to overwrite
    assert all(path.stat().st_mtime_ns == written_at for path, written_at in results.items())
    written.write_text("title: mine")
    assert cli.main(words) == 2
    assert "mine_next.yaml" in capsys.readouterr().err


def test_presets_of_ones_own(inside: list[float | None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset = tmp_path / "my configs" / "dataset" / "mine.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text("name: digits\nlabel: mine\nfraction: 0.5\n")
    words = ["--trials", "4", "model.name=resnet18", "model.args={layers: [1, 1, 1, 1], channels: [4, 4, 4, 4]}"]
    words += [*SMALLEST[:-1], "--config-dir", "my configs", "dataset=mine"]
    assert cli.main(words) == 0
    assert "given setting, stochastic_depth 0.1: " in (output := capsys.readouterr().out)
    assert "rdrop-exp --config-dir 'my configs' -m sweep=probe_next" in output
    results = [json.loads(path.read_text()) for path in (tmp_path / "outputs" / "probe").glob("*/result.json")]
    assert [result["options"]["dataset"]["fraction"] for result in results] == [0.5] * 4
    with hydra_ready():
        given = examine({"dataset": "mine"}, [], Path("my configs"))
    assert setting.command(given, "-m")[3:] == ["--config-dir", "my configs", "-m"]
    assert cli.main([*words, "--config-dir", "elsewhere"]) == 2
    assert "elsewhere" in capsys.readouterr().err


def test_a_dry_run_runs_nothing(inside: list[float | None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*SMALLEST, "--minutes", "2", "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("6 trials, about 2 min from scratch: 3 seeds without and with stochastic_depth 0.1\n")
    assert "cut to 333 steps" in output
    assert inside == []
    assert not list(tmp_path.iterdir())


def test_an_interrupted_probe_says_how_to_resume(
    inside: list[float | None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "launch", interrupted)
    assert cli.main([*SMALLEST, "--trials", "4"]) == 130
    assert "same command" in capsys.readouterr().err


@pytest.mark.slow
def test_a_probe_as_a_user_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["model=vit_micro_8", *SMALLEST, "hydra.launcher.slots=1", "--trials", "4"]) == 0
    output = capfd.readouterr().out
    assert "4 trials" in output
    assert "Verdict: " in output
    assert "about 1 min" in output
