"""rdrop-analyze on real trials: what it measures, writes and refuses."""

import json
import re
from pathlib import Path

import pytest
import torch

from rdrop_exp.analysis import cli
from rdrop_exp.analysis.curves import read_curve
from rdrop_exp.analysis.online import make_analysis
from rdrop_exp.config.checks import from_dict
from rdrop_exp.report.collect import collect
from rdrop_exp.train import trial
from tests.conftest import VIT, Crash, crash_at_save, folder_of, merged
from tests.report.trials import NONE, write_trial


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four short trials, analysed as they trained: without noise and with early dropout, two seeds."""
    root = tmp_path_factory.mktemp("outputs")
    early = {"name": "early_dropout", "dropout": 0.3, "when": "early", "cutoff_epoch": 1}
    for seed in (0, 1):
        for regularizer in (NONE, early):
            values = {"regularizer": regularizer, "seed": seed, "output_dir": str(root), "name": "demo"}
            o = from_dict(merged(VIT, values, {"analysis": {"every": 5, "batches": 4}}))
            assert trial.run(o, make_analysis=make_analysis) is not None
    return root / "demo"


def test_analyze(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(trained), "--batches", "4", "--passes", "3", "--set", "test"]) == 0
    output = capsys.readouterr()
    for word in ("direction variance", "KL noisy-clean", "ECE MC"):
        assert word in output.out
    header = output.out.splitlines()[0].split()
    assert header == ["group", "early_dropout", "none"]
    assert re.search(r"^accuracy +\d+\.\d\d% ± ", output.out, re.MULTILINE)
    assert re.search(r"early_dropout.*steps 0 to 10.*direction error", output.out)
    assert output.err.count("\n") == 4
    folders = [path for path in trained.iterdir() if path.is_dir()]
    contents = [json.loads((folder / "analysis.json").read_text()) for folder in folders]
    for folder, one in zip(folders, contents, strict=True):
        result = json.loads((folder / "result.json").read_text())
        assert one["step"] == result["best_epoch"] * 10
        assert one["settings"] == {"batches": 4, "batch_size": None, "augment": True, "loss": "full", "share": None}
        assert one["batch_size"] == 128
        i = one["inconsistency"]
        assert (i["passes"], i["set"], i["rates"]["dropout"]) == (3, "test", 0.3 if "early" in one["trial"] else 0.1)
        assert i["accuracy"] == pytest.approx(result["metrics"]["test/accuracy"])
        assert one["distance"] > 0
        assert one["gradient"]["direction_error"]["low"] < one["gradient"]["direction_error"]["high"]
    page = (trained / "analysis.html").read_text()
    assert "Gradient direction error" in page
    assert "steps 0 to 10" in page
    assert "http-equiv" in page
    assert "{{" not in page.replace(page[page.index("<script>") :], "")


def test_a_stopped_trial_is_measured_as_while_it_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = {"analysis": {"every": 5, "batches": 4}, "checkpoint_seconds": 0, "regularizer": {"dropout": 0.2}}
    o = from_dict(merged(VIT, watched, {"output_dir": str(tmp_path)}))
    crash_at_save(monkeypatch, 10)
    with pytest.raises(Crash):
        trial.run(o, make_analysis=make_analysis)
    folder = folder_of(o)
    assert cli.main([str(folder), "--batches", "4", "--passes", "5", "--no-page"]) == 0
    content = json.loads((folder / "analysis.json").read_text())
    trial.run(o, make_analysis=make_analysis)
    curve = read_curve(collect([folder])[0][0])
    assert curve is not None
    assert (curve.steps, curve.per_epoch, curve.total) == ([0, 5, 10, 15], 10, 20)
    assert content["step"] == 10
    logged = {name: values[2] for name, values in curve.values.items()}
    assert content["distance"] == logged["model_distance"]
    assert content["gradient"]["direction_error"]["value"] == logged["direction_error"]
    assert content["gradient"]["direction_variance"]["high"] == logged["direction_variance_high"]
    assert content["inconsistency"]["ece_mc"] == logged["ece_mc"]


def test_other_settings_change_what_is_measured(trained: Path, tmp_path: Path) -> None:
    folder = next(path for path in trained.iterdir() if path.is_dir() and "early_dropout" in path.name)
    measured = []
    for words in ([], ["--share", "1"], ["--dropout", "0.5", "--no-gradients"], ["--loss", "task", "--passes", "0"]):
        assert cli.main([str(folder), "--batches", "2", "--no-page", "--threads", "1", *words]) == 0
        measured.append(json.loads((folder / "analysis.json").read_text()))
    plain, noisy, strong, task = measured
    assert noisy["share"] == 1 > plain["share"]
    assert noisy["gradient"]["direction_error"] != plain["gradient"]["direction_error"]
    assert noisy["gradient"]["full_norm"] == plain["gradient"]["full_norm"]
    assert strong["inconsistency"]["inconsistency"]["value"] > plain["inconsistency"]["inconsistency"]["value"]
    assert "gradient" not in strong
    assert "inconsistency" not in task
    assert task["settings"]["loss"] == "task"


def test_curves_measure_nothing(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.autograd, "grad", None)
    page = tmp_path / "page.html"
    assert cli.main([str(trained), "--curves", "--page", str(page)]) == 0
    assert "direction variance" in page.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere", "nowhere"),
        ("empty", "empty"),
        ("bare", "keep_weights=true"),
        ("bare --batches 1", "--batches=1 must be at least 2"),
        ("bare --passes 1", "--passes=1 must be 0 or at least 2"),
        ("bare --share 2", "--share=2 must be between 0 and 1"),
        ("bare --dropout 0", "--dropout=0 must be between 0 and 1"),
    ],
)
def test_user_errors_are_one_sentence(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    o = from_dict(merged(VIT, {"output_dir": str(tmp_path)}))
    folder = write_trial(tmp_path, NONE, 0, experiment="x")
    folder.rename(tmp_path / "bare")
    assert folder_of(o).parent.parent == tmp_path
    assert cli.main(words.split()) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("rdrop-analyze: ")
    assert message in last
