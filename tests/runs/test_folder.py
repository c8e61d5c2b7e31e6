"""Which folder a trial has, when its data stays, moves or changes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.data.fingerprint import fingerprint
from rdrop_exp.runs.folder import (
    place_trial,
    read_items,
    read_result,
    read_rows,
    read_start,
    write_items,
    write_start,
)
from rdrop_exp.train import trial
from tests.conftest import SMALL, merged


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, grey in (("cat", 40), ("dog", 200)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for i in range(12):
            Image.new("L", (8, 8), grey + i).save(folder / f"{i}.png")
    return tmp_path / "photos"


def options(root: Path, **values: Any) -> Options:
    data = {"name": "image_folder", "root": str(root), "image_size": 8}
    small = {"schedule": {"epochs": 1}, "optimizer": {"batch_size": 8}, "output_dir": str(root.parent / "out")}
    return from_dict(merged(SMALL, small, {"dataset": data}, values))


def finished(o: Options) -> dict[str, Any]:
    result = trial.run(o)
    assert result is not None
    return result


def test_the_same_data_elsewhere_is_the_same_trial(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = finished(options(photos))
    moved = photos.rename(photos.with_name("pictures"))
    assert finished(options(moved)) == first
    assert "Already finished" in capsys.readouterr().out
    assert finished(options(moved, seed=1))["group"] == first["group"]


def test_other_data_at_the_same_place_is_a_new_trial(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = finished(options(photos))
    shutil.move(photos / "cat/3.png", photos / "dog/cat3.png")
    second = finished(options(photos))
    assert "photos has changed since" in capsys.readouterr().out
    assert second["identity"] != first["identity"]
    assert second["group"] != first["group"]
    assert second["data"]["counts"] != first["data"]["counts"]
    assert finished(options(photos)) == second
    folders = sorted((photos.parent / "out/default").iterdir())
    assert [read_result(folder)["identity"] for folder in folders] == sorted([first["identity"], second["identity"]])
    shutil.move(photos / "dog/cat3.png", photos / "cat/3.png")
    assert finished(options(photos)) == first  # the old data again


def test_a_result_says_what_was_read(photos: Path) -> None:
    result = finished(options(photos))
    assert result["data"]["summary"].startswith("photos: 2 classes (cat, dog)")
    assert sum(result["data"]["counts"][part]["cat"] for part in ("train", "validation", "test")) == 12
    assert result["data"]["fingerprint"] == fingerprint(options(photos).dataset)
    (folder,) = (photos.parent / "out/default").iterdir()
    assert "photos: 2 classes" in (folder / "log.txt").read_text()


def test_a_folder_of_an_earlier_version_is_read_from_its_options(tmp_path: Path) -> None:
    spec = trial_spec(from_dict({"regularizer": {"dropout": 0.1}}))
    about = {"identity": spec.identity, "options": json.loads(json.dumps({"regularizer": {"dropout": 0.1}}))}
    write_start(tmp_path, about)
    assert read_start(tmp_path)["identity"] == spec.identity
    (tmp_path / "trial.json").unlink()
    assert read_start(tmp_path)["identity"] == spec.identity
    assert read_start(tmp_path)["group"] == spec.group


def test_a_published_data_set_is_known_by_its_name(tmp_path: Path) -> None:
    values = {"output_dir": str(tmp_path), "dataset": {"root": "somewhere"}}
    one, folder, changed = place_trial(trial_spec(from_dict(values), "digits"))
    assert (one.identity, changed) == (trial_spec(from_dict({})).identity, "")
    assert folder.parent == tmp_path / "default"


def test_rows_that_are_broken_are_left_out(tmp_path: Path) -> None:
    lines = [json.dumps({"step": i, **({"val/loss": 1.0} if i == 7 else {})}) for i in range(20)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines[:12], '{"step": 12', *lines[13:], '{"st']))
    assert [row["step"] for row in read_rows(tmp_path)] == [i for i in range(20) if i != 12]
    thinned = [row["step"] for row in read_rows(tmp_path, most=5, always=(b'"val/',))]
    assert 7 in thinned
    assert len(thinned) < 9
    assert read_rows(tmp_path / "nowhere") == []


def test_the_report_compares_trials_on_the_same_data_alone(photos: Path) -> None:
    from rdrop_exp.report.compare import make_report

    dropout = {"regularizer": {"dropout": 0.2}}
    finished(options(photos))
    moved = photos.rename(photos.with_name("pictures"))
    finished(options(moved, **dropout))
    (comparison,) = make_report([photos.parent / "out"]).comparisons
    assert sorted(row.label for row in comparison.rows) == ["dropout", "none"]
    shutil.move(moved / "cat/3.png", moved / "dog/cat3.png")
    finished(options(moved, **dropout))
    one, other = make_report([photos.parent / "out"]).comparisons
    assert one.setting.label != other.setting.label
    assert sorted(len(c.rows) for c in (one, other)) == [1, 2]


def test_items_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_items(tmp_path) == {}
    right, shares = np.array([True, False, True] * 7), np.array([0.25, 1.0], np.float32)
    write_items(tmp_path, {"val": right, "test": shares})
    found = read_items(tmp_path)
    assert (found["val"].dtype, found["test"].dtype) == (bool, np.float32)
    assert np.array_equal(found["val"], right)
    assert np.array_equal(found["test"], shares)


def test_damaged_items_are_no_items(tmp_path: Path) -> None:
    write_items(tmp_path, {"val": np.ones(100, bool), "test": np.ones(50, bool)})
    path, count = tmp_path / "items.npz", np.array(100)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at])
        assert read_items(tmp_path) == {}, at
    for arrays in ({"val": np.zeros(3, np.uint8), "val_count": count}, {"val": np.ones((2, 2), np.float32)}):
        np.savez(path, allow_pickle=False, **arrays)
        assert read_items(tmp_path) == {}
    np.savez(path, val=np.array([{}], object))
    assert read_items(tmp_path) == {}
