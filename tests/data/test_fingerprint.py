"""The data's fingerprint: changes with the data, not with the place where it lies."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rdrop_exp.data import fingerprint as module
from rdrop_exp.data.datasets import preview
from rdrop_exp.data.fingerprint import fingerprint
from tests.data.helpers import folder, image, load, options, table


def of(root: Path, name: str = "image_folder", **values: object) -> str:
    return fingerprint(options(name=name, root=str(root), **values))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder(tmp_path / "photos", {"a": 6, "b": 6})
    return tmp_path / "photos"


def change_bytes(path: Path) -> None:
    """Other bytes in a file of the same size and times."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("kind", ["quick", "content"])
def test_it_changes_with_the_files(photos: Path, kind: str) -> None:
    first = of(photos, fingerprint=kind)
    seen = {first}
    (photos / "a" / "notes.txt").write_text("no image")
    assert of(photos, fingerprint=kind) in seen  # no part of the data
    for change in (
        lambda: image(photos / "a" / "new.png", 77),
        lambda: (photos / "a" / "new.png").rename(photos / "a" / "other.png"),
        lambda: (photos / "a" / "other.png").rename(photos / "b" / "other.png"),
        lambda: image(photos / "b" / "other.png", 78),
        lambda: (photos / "a").rename(photos / "c"),
    ):
        change()
        assert of(photos, fingerprint=kind) not in seen
        seen.add(of(photos, fingerprint=kind))
    (photos / "c").rename(photos / "a")
    (photos / "b" / "other.png").unlink()
    assert of(photos, fingerprint=kind) == first
    assert all(len(each) == 12 and int(each, 16) >= 0 for each in seen)


@pytest.mark.parametrize("kind", ["quick", "content"])
def test_the_same_data_under_another_path_is_the_same(photos: Path, tmp_path: Path, kind: str) -> None:
    shutil.copytree(photos, tmp_path / "elsewhere" / "copied")
    assert of(photos, fingerprint=kind) == of(tmp_path / "elsewhere" / "copied", fingerprint=kind)


def test_content_sees_bytes_and_not_times(photos: Path) -> None:
    quick, content = of(photos), of(photos, fingerprint="content")
    os.utime(photos / "a" / "0.png", ns=(1, 1))
    changed = of(photos)
    assert changed != quick
    assert of(photos, fingerprint="content") == content
    change_bytes(photos / "a" / "0.png")
    assert of(photos) == changed
    assert of(photos, fingerprint="content") != content


def test_times_are_left_out_of_many_files(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY_FILES", 12)
    before = of(photos)
    os.utime(photos / "a" / "0.png", ns=(1, 1))
    assert of(photos) == before
    image(photos / "a" / "0.png", 3, (90, 90))
    assert of(photos) != before


def test_a_corrected_label_changes_it(tmp_path: Path) -> None:
    rows = [{"image": f"{i}.png", "label": "ab"[i % 2], "patient": str(i), "split": "train"} for i in range(8)]
    for i in range(8):
        image(tmp_path / f"{i}.png", i)
    table(tmp_path, rows)
    first = of(tmp_path, "image_csv")
    table(tmp_path, [row | {"remark": "checked"} for row in rows], delimiter=";")
    assert of(tmp_path, "image_csv") == first
    for change in ({"label": "b"}, {"split": "test"}, {"image": "1.png"}):
        table(tmp_path, [rows[0] | change, *rows[2:]])
        assert of(tmp_path, "image_csv") != first
    table(tmp_path, rows)
    assert of(tmp_path, "image_csv") == first == load(tmp_path, "image_csv").fingerprint
    assert of(tmp_path, "image_csv", group_column="patient") != first


def test_published_data_sets_have_their_name(tmp_path: Path) -> None:
    assert of(tmp_path, "digits") == load(tmp_path, "digits").fingerprint == "digits"
    assert of(tmp_path, "cifar10") == "cifar10"
    folder(tmp_path, {"train/a": 5, "train/b": 5, "val/a": 2, "val/b": 2})
    assert of(tmp_path, "imagenet") == load(tmp_path, "imagenet").fingerprint == "imagenet"


def test_torch_is_not_imported(photos: Path) -> None:
    code = (
        "import sys; from rdrop_exp.config.options import Dataset; from rdrop_exp.data import datasets, fingerprint;"
        f"o = Dataset(name='image_folder', root={str(photos)!r}); fingerprint.fingerprint(o); datasets.preview(o);"
        "print([m for m in ('torch', 'torchvision', 'timm', 'sklearn') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    shown = preview(options(name="image_folder", root=str(photos)))
    assert shown.fingerprint == of(photos)
    assert shown.summary == load(photos).summary
