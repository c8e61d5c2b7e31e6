"""Which code made a trial: results of edited code do not pass silently."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.schema import OptionError
from rdrop_exp.report.compare import make_report
from rdrop_exp.runs import code
from rdrop_exp.runs.folder import place_trial
from rdrop_exp.train import trial
from tests.conftest import SMALL, merged


def test_an_edited_schedule_is_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[str, Any] = merged(SMALL, {"output_dir": str(tmp_path / "outputs"), "schedule": {"epochs": 1}})
    result = trial.run(from_dict(values))
    assert result is not None
    assert result["code"] == code.current()
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    assert "torch==" in (folder / "environment.txt").read_text()
    assert not any("other code" in note for note in make_report([folder]).notes)
    edited = tmp_path / "rdrop_exp"
    shutil.copytree(code.PACKAGE, edited, ignore=shutil.ignore_patterns("__pycache__"))
    with (edited / "config" / "schedules.py").open("a") as file:
        file.write("\n# edited\n")
    monkeypatch.setattr(code, "PACKAGE", edited)
    code.current.cache_clear()
    try:
        assert any("1 of 1 trial was made by other code" in note for note in make_report([folder]).notes)
        with pytest.raises(OptionError, match="--same-code"):
            make_report([folder], same_code=True)
        assert place_trial(trial_spec(from_dict(values)))[1] == folder  # finished all the same
        again = place_trial(trial_spec(from_dict(values | {"same_code": True})))[1]
        assert again.parent.parent == folder.parent
        assert json.loads((folder / "result.json").read_text()) == result  # nothing is lost
    finally:
        code.current.cache_clear()
