"""Which code made a trial: results of edited code do not pass silently."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydra_slots import PlannedTrial
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.report.compare import make_report
from rdrop_exp.runs import code, sources
from rdrop_exp.runs.folder import made_by, read_result
from rdrop_exp.train import trial
from rdrop_exp.train.planning import check_plan
from tests.conftest import SMALL, Command, Crash, crash_at_save, folder_of, merged

Edit = Callable[[], None]
UNCACHED = sources.package_hash.__wrapped__


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Edits a schedule of the package, as this process sees it until the test ends."""

    def edited() -> None:
        copy = tmp_path / "edited" / "rdrop_exp"
        if not copy.exists():
            shutil.copytree(sources.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        with (copy / "config" / "schedules.py").open("a") as file:
            file.write("\n# edited\n")
        monkeypatch.setattr(sources, "PACKAGE", copy)
        monkeypatch.setattr(sources, "package_hash", UNCACHED)

    return edited


def options(tmp_path: Path, **values: Any) -> Options:
    return from_dict(merged(SMALL, {"output_dir": str(tmp_path / "outputs"), "schedule": {"epochs": 1}}, values))


def train(o: Options) -> dict[str, Any]:
    result = trial.run(o)
    assert result is not None
    return result


def planned(folder: Path) -> PlannedTrial:
    return PlannedTrial(identity=folder.name[-10:], folder=str(folder), name=folder.name, group="", work=1.0)


def test_trials_of_an_edited_package_count_and_say_so(
    tmp_path: Path, edit: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    o = options(tmp_path)
    result, folder = train(o), folder_of(o)
    assert result["code"] == code.current(o)
    assert "torch==" in (folder / "environment.txt").read_text()
    assert not any("other code" in note for note in make_report([folder]).notes)
    assert not any("other code" in line for line in check_plan({}, [planned(folder)]))

    edit()
    assert any("1 of 1 trial was made by other code" in note for note in make_report([folder]).notes)
    assert any("same_code=true" in line for line in check_plan({}, [planned(folder)]))
    assert train(o) == result
    assert "made by other code" in capsys.readouterr().out
    with pytest.raises(OptionError, match="--same-code"):
        make_report([folder], same_code=True)


def test_same_code_trains_again_beside_the_old_trial(tmp_path: Path, edit: Edit) -> None:
    o, again = options(tmp_path), options(tmp_path, same_code=True)
    result, folder = train(o), folder_of(o)
    assert train(again) == result  # the code is the same
    edit()
    new = train(again)
    assert new["code"]["package"] != result["code"]["package"]
    assert json.loads((folder / "result.json").read_text()) == result  # nothing is lost
    assert len(list(folder.parent.iterdir())) == 2
    assert train(o) == train(again) == new  # which is now the finished trial of both
    report = make_report([tmp_path / "outputs"])
    assert [t.code for t in report.trials] == [code.recorded(new)]  # the other is a copy
    assert not any("other code" in note for note in report.notes)
    edit()
    train(again)
    assert len(list(folder.parent.iterdir())) == 3


def test_a_trial_resumed_by_other_code_names_both(tmp_path: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
    o = options(tmp_path, checkpoint_seconds=0.0)
    with monkeypatch.context() as patch:
        crash_at_save(patch, 3)
        with pytest.raises(Crash):
            train(o)
    before = made_by(folder_of(o))
    edit()
    result = train(o)
    assert result["code"] == code.current(o) | {"earlier": [code.key(before)]}
    assert code.differs(code.recorded(result)) == "a part by an earlier version"
    assert made_by(folder_of(o)) == code.recorded(read_result(folder_of(o)))


def test_commit_and_changes_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(["git", *who, *arguments], cwd=package, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    package, folder = tmp_path / "package", tmp_path / "trial"
    package.mkdir()
    folder.mkdir()
    monkeypatch.setattr(sources, "PACKAGE", package)
    monkeypatch.setattr(code, "_git", code._git.__wrapped__)
    o = options(tmp_path)
    (package / "a.py").write_text("a = 1\n")
    git("init", "-q")
    assert code.current(o)["commit"] == ""
    git("add", "a.py")
    git("commit", "-qm", "a")
    made = code.current(o)
    assert (made["commit"], made["dirty"], made["diff"]) == (git("rev-parse", "HEAD"), False, "")
    code.write_beside(folder)
    assert not (folder / "code.diff").exists()

    (package / "a.py").write_text("a = 2\n")
    made = code.current(o)
    code.write_beside(folder)
    assert made["dirty"]
    assert made["diff"] == code._digest((folder / "code.diff").read_bytes())
    assert "+a = 2" in (folder / "code.diff").read_text()
    git("commit", "-qam", "b")
    code.write_beside(folder)
    assert not (folder / "code.diff").exists()


PLUGIN = """
from rdrop_exp.config.schedules import RATE_SCHEDULES
RATE_SCHEDULES["halved"] = lambda *_: 0.5
"""
MODEL = """
from torch import nn

def small(classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, 16), nn.Dropout(), nn.Linear(16, classes))
"""


def test_plugins_and_models_of_ones_own_are_part_of_the_code(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halves.py").write_text(PLUGIN)
    (tmp_path / "nets.py").write_text(MODEL)
    given = ["plugins=[halves]", "model.name=nets:small", "schedule.epochs=1", "dataset.limit=2"]
    done = command(*given, "logger.wandb=disabled")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "outputs/default").iterdir()
    assert sorted(made_by(folder)["plugins"]) == ["halves", "nets"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "_file_hash", sources._file_hash.__wrapped__)
    assert code.same(made_by(folder))

    (tmp_path / "halves.py").write_text(PLUGIN.replace("0.5", "0.4"))
    (tmp_path / "nets.py").write_text(MODEL.replace("16", "32"))
    assert any("another version of halves, nets" in note for note in make_report([folder]).notes)
    plan = command(*given, "logger.wandb=disabled", "-m", "hydra.launcher.dry_run=true")
    assert "1 of 1 trial was made by other code: another version of halves, nets" in plan.stdout, plan.stderr
    (tmp_path / "halves.py").unlink()  # elsewhere, it cannot be compared
    assert code.differs(made_by(folder)) == "another version of nets"


@pytest.mark.parametrize("value", [None, 3, {}, {"package": "x"}, {"package": ["a"]}, {"package": "../" * 8}])
def test_what_is_no_code_is_unknown(value: Any) -> None:
    assert code.recorded({"code": value}) == {}


def test_of_odd_code_the_rest_is_kept() -> None:
    odd = {"package": "0" * 16, "plugins": {"os.path": "1", "/etc": "2" * 16}, "commit": "\x1b[2J", "earlier": [{}]}
    made = code.recorded({"code": odd})
    assert made == {
        "package": "0" * 16, "commit": "", "dirty": False, "plugins": {"/etc": "2" * 16}, "earlier": [],
    }  # fmt: skip
    assert code.differs(made) == f"package {'0' * 16}"


def test_sources_are_hashed_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "never_imported").mkdir()
    (tmp_path / "never_imported/__init__.py").write_text("raise SystemExit")
    (tmp_path / "never_imported/inside.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert sources.module_hash("never_imported.inside") == sources.module_hash("never_imported")
    assert sources.module_hash("never_imported") != ""
    assert sources.module_hash("never_imported.nowhere") == sources.module_hash("../x") == sources.module_hash("") == ""
