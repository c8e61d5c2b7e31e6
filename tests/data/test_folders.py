"""Folders of classes and of splits: what is read, what the summary says of it, and what is refused."""

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.listing import set_name
from tests.data.helpers import check_sets, folder, image, load, sizes

SPLITS = {"train/a": 8, "train/b": 8, "val/a": 3, "val/b": 2, "test/a": 1, "test/b": 4}


def renamed(**names: str) -> dict[str, int]:
    parts = {name: name.partition("/") for name in SPLITS}
    return {f"{names.get(part, part)}/{label}": SPLITS[name] for name, (part, _, label) in parts.items()}


# -- classes ----------------------------------------------------------------------------------------------------------


def test_folder_of_classes(tmp_path: Path) -> None:
    folder(tmp_path, {"cat": 10, "dog": 10, "dog/puppies": 10, ".hidden": 3, "__MACOSX": 1})
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "cat" / "._0.png").write_text("no image either")
    image(tmp_path / "loose.png", 250)
    source = load(tmp_path)
    check_sets(source)
    assert np.bincount(source.labels).tolist() == [10, 20]
    assert (source.classes, source.channels) == (2, 3)
    assert source.paths == sorted(source.paths or [])
    assert sizes(source) == {"train": 22, "test": 6, "validation": 2}
    assert {name: sum(of_class.values()) for name, of_class in source.counts.items()} == sizes(source)
    assert source.counts["test"] == {"cat": 2, "dog": 4}
    for words in (
        f"{tmp_path.name}: 2 classes (cat, dog), 22 train, 2 validation (10% of train), 6 test (20% of all)",
        "1 other file ignored (.txt 1)",
        "1 image outside class folders ignored",
    ):
        assert words in source.summary


def test_every_format_of_pillow_counts(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 5, "b": 5})
    for i, ending in enumerate(("jfif", "JPG", "tga", "webp")):
        (tmp_path / "a" / f"{i}.png").rename(tmp_path / "a" / f"x{i}.png")
        image(tmp_path / "a" / f"y{i}.{ending}", 100 + i)
    assert load(tmp_path).classes == 2
    assert len(load(tmp_path).labels) == 14


def test_a_folder_that_links_to_one_above_it_is_read_once(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "beside").symlink_to(tmp_path / "a")
    assert np.bincount(load(tmp_path).labels).tolist() == [5, 10]


@pytest.mark.parametrize("name", ["train", "test", "Val", "training set"])
def test_a_class_may_be_called_as_a_split_is(tmp_path: Path, name: str) -> None:
    folder(tmp_path, {name: 10, "bus": 10, "car": 10})
    source = load(tmp_path)
    check_sets(source)
    assert source.classes == 3
    assert name in source.counts["train"]


def test_layout_decides_where_names_are_those_of_splits(tmp_path: Path) -> None:
    folder(tmp_path, {"train": 10, "test": 10})
    with pytest.raises(OptionError, match=r"no class folders inside test, train.*dataset\.layout=classes"):
        load(tmp_path)
    assert load(tmp_path, layout="classes").counts["train"].keys() == {"test", "train"}
    folder(tmp_path / "other", SPLITS | {"extra/a": 3})
    with pytest.raises(OptionError, match=r"extra does not; .*dataset\.layout=splits.*dataset\.layout=classes"):
        load(tmp_path / "other")
    source = load(tmp_path / "other", layout="splits")
    assert sizes(source) == {"train": 16, "validation": 5, "test": 5}
    assert "not used: extra" in source.summary
    assert load(tmp_path / "other", layout="classes").classes == 4


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"seg_train/a": 4, "seg_train/b": 4, "seg_test/a": 4, "seg_test/b": 4}, "seg_test, seg_train could be splits"),
        ({"train2017/a": 4, "val2017/a": 4}, "train2017, val2017 could be splits"),
        ({"train/a": 4, "train/b": 4, "eval/a": 4}, "train looks like a split, but eval does not"),
        ({"cat/train": 4, "cat/test": 4, "dog/train": 4, "dog/test": 4}, r"cat holds test, train; .*\(train/cat\)"),
    ],
)
def test_what_could_be_splits_is_not_taken_for_classes(tmp_path: Path, counts: dict[str, int], message: str) -> None:
    folder(tmp_path, counts)
    with pytest.raises(OptionError, match=rf"{message}.*dataset\.layout=classes"):
        load(tmp_path)
    assert load(tmp_path, layout="classes").classes == len({name.partition("/")[0] for name in counts})


def test_classes_may_mention_a_split(tmp_path: Path) -> None:
    folder(tmp_path, {"train station": 10, "test tube": 10, "cat/train": 5, "cat/walking": 5})
    assert load(tmp_path).classes == 3


# -- splits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"val": "valid"},
        {"val": "validation"},
        {"train": "Training", "val": "Validation", "test": "Testing"},
        {"train": "Train", "val": "Val", "test": "TEST"},
        {"train": "train_set", "val": "val_set", "test": "test_set"},
        {"train": "Training Data", "val": "dev-set", "test": "Test Images"},
    ],
)
def test_validation_and_test_folders(tmp_path: Path, names: dict[str, str]) -> None:
    folder(tmp_path, renamed(**names))
    (tmp_path / "annotations").mkdir()
    source = load(tmp_path)
    check_sets(source)
    assert sizes(source) == {"train": 16, "validation": 5, "test": 5}
    paths = np.array(source.paths)
    assert all(f"/{names.get('val', 'val')}/" in path for path in paths[source.sets["validation"]])
    assert all(("/b/" in path) == (label == 1) for path, label in zip(paths, source.labels, strict=True))
    shown = f"5 validation (folder {names.get('val', 'val')}), 5 test (folder {names.get('test', 'test')})"
    assert shown in source.summary


def test_train_beside_Val_is_a_validation_set(tmp_path: Path) -> None:
    folder(tmp_path, {"train/a": 10, "train/b": 10, "Val/a": 3, "Val/b": 3})
    source = load(tmp_path)
    assert sizes(source) == {"train": 16, "validation": 6, "test": 4}
    assert "6 validation (folder Val), 4 test (20% of all)" in source.summary


def test_a_share_that_has_no_use_is_noted(tmp_path: Path) -> None:
    folder(tmp_path, {"train/a": 10, "train/b": 10, "test/a": 3, "test/b": 3})
    source = load(tmp_path, test=0.3, validation=0.3)
    assert sizes(source) == {"train": 14, "validation": 6, "test": 6}
    assert "6 validation (30% of train), 6 test (folder test); ignored: dataset.test (" in source.summary


def test_a_split_inside_a_folder_of_its_own_name(tmp_path: Path) -> None:
    folder(tmp_path, {"training_set/training_set/a": 8, "training_set/training_set/b": 8})
    folder(tmp_path, {"test_set/test_set/a": 3, "test_set/test_set/b": 3})
    assert sizes(load(tmp_path)) == {"train": 14, "validation": 2, "test": 6}


def test_a_test_folder_without_labels_is_not_a_test_set(tmp_path: Path) -> None:
    folder(tmp_path, {"train/a": 10, "train/b": 10, "test": 5})
    source = load(tmp_path)
    check_sets(source)
    assert len(source.labels) == 20
    assert "folder test not used (no class folders)" in source.summary


def test_imagenet_tests_on_its_validation_folder(tmp_path: Path) -> None:
    folder(tmp_path, {"train/n01": 10, "train/n02": 10, "val/n01": 3, "val/n02": 3})
    source = load(tmp_path, "imagenet")
    check_sets(source)
    assert sizes(source) == {"train": 18, "validation": 2, "test": 6}
    assert all("/val/" in path for path in np.array(source.paths)[source.sets["test"]])
    assert source.summary.startswith("imagenet: 2 classes (n01, n02), 18 train, 2 validation (10% of train), 6 test")


def test_names_of_splits() -> None:
    for word in ("train", "Train", "TRAINING", "train_set", "training-data", "Train Images", "trn"):
        assert set_name(word) == "train"
    for word in ("val", "valid", "Validation", "val_set", "dev"):
        assert set_name(word) == "validation"
    for word in ("test", "Testing", "test set", "tst"):
        assert set_name(word) == "test"
    for word in ("trains", "contest", "", "set", "data", "validity", "trainer"):
        assert set_name(word) is None


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "name", "message"),
    [
        (None, "image_folder", r"dataset\.root=.*none: folder not found"),
        ({}, "image_folder", "no class folders"),
        ({"": 3}, "image_folder", "no class folders, only 3 images.*image_csv"),
        ({"val/a": 2, "val/b": 2}, "image_folder", "no folder train, only val"),
        ({"train/a": 2, "val/a": 1}, "image_folder", "two classes, but every training image is of class a"),
        ({"photos/a": 2, "photos/b": 2}, "image_folder", r"did you mean dataset\.root=.*none/photos\?"),
        ({"train/a": 2, "train/b": 2, "val/c": 1}, "image_folder", "class c of the validation set.*val/c/0.png"),
        ({"train/Cat": 2, "train/b": 2, "val/Cats": 1}, "image_folder", r"class Cats of the .*did you mean Cat\?"),
        ({"train/a": 2, "train/b": 2, "val/a": 2, "valid/a": 2}, "image_folder", "val and valid both mean"),
        ({"a": 2, "b": 2, "c": 0}, "image_folder", "no images in class folder .*none/c"),
        ({"train/a": 2, "train/b": 2, "test/a": 2, "test/b": 0}, "image_folder", "no images in class .*none/test/b"),
        ({"train/a": 2, "train/b": 2}, "imagenet", "imagenet needs a folder val"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, counts: dict[str, int] | None, name: str, message: str) -> None:
    root = tmp_path / "none"
    if counts is not None:
        root.mkdir()
        folder(root, counts)
    with pytest.raises(OptionError, match=message):
        load(root, name)


def test_a_class_folder_without_a_readable_image_is_named(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 4, "b": 4, "c": 0})
    for i in range(2):
        (tmp_path / "c" / f"{i}.heic").write_bytes(b"some")
    with pytest.raises(OptionError, match=r"no readable image .*\.heic 2.* in class folder .*/c"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["données", "a=b", "two words", "50%, [x]"])
def test_any_name_of_a_folder_will_do(tmp_path: Path, name: str) -> None:
    folder(tmp_path / name, {"à": 5, "b c": 5})
    source = load(tmp_path / name)
    assert sizes(source) == {"train": 7, "test": 2, "validation": 1}
    assert source.summary.startswith(f"{name}: 2 classes (b c, à)")


def test_a_relative_root_is_shown_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=rf"dataset\.root=photos \({tmp_path}{os.sep}photos\): folder not found"):
        load(Path("photos"))


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, {"a": 5, "b/inner": 5})
    scan = os.scandir

    def refuse(path: str | Path) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith(locked):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)  # type: ignore[return-value]

    monkeypatch.setattr(os, "scandir", refuse)
    for locked in ("/a", "/inner", tmp_path.name):
        with pytest.raises(OptionError, match=rf"cannot read folder .*{locked}: Permission denied"):
            load(tmp_path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems refuse such a name")
def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 5, "b": 5})
    os.rename(tmp_path / "a", os.fsencode(tmp_path) + b"/caf\xe9")
    source = load(tmp_path)
    assert source.summary.startswith(f"{tmp_path.name}: 2 classes (b, caf?), 7 train")
