"""Files are checked before training: broken ones are named or skipped, copies found, and the outcome cached."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rdrop_exp.config.schema import OptionError
from rdrop_exp.data import check
from rdrop_exp.data.check import check_files
from rdrop_exp.data.datasets import preview
from tests.data.helpers import check_sets, folder, image, load, options, sizes, table


def photograph(path: Path, seed: int = 0, size: int = 200) -> None:
    """Larger than what is decoded in full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.RandomState(seed).randint(0, 256, (size, size, 3)).astype(np.uint8)).save(path)


def cut(path: Path, share: float = 0.6) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "bmp", "tif", "tga", "ppm"])
@pytest.mark.parametrize("size", [20, 200])
def test_a_file_that_is_cut_off_is_named(
    tmp_path: Path, ending: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "DECODE_ALL", 0)  # as of very many files
    folder(tmp_path, {"train/a": 4, "train/b": 4, "test/a": 1, "test/b": 1})
    photograph(tmp_path / "test" / "b" / f"x.{ending}", size=size)
    assert sizes(load(tmp_path))["test"] == 3
    cut(tmp_path / "test" / "b" / f"x.{ending}")
    with pytest.raises(OptionError, match=rf"cannot read 1 of 11 images, such as .*x\.{ending} .*dataset\.broken=skip"):
        load(tmp_path)


def test_few_files_are_decoded_in_full(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 4, "b": 4})
    photograph(tmp_path / "b" / "x.png")
    content = bytearray((tmp_path / "b" / "x.png").read_bytes())
    content[60_000] ^= 255  # the start and the end of the file are as before
    (tmp_path / "b" / "x.png").write_bytes(content)
    with pytest.raises(OptionError, match=r"cannot read 1 of 9 images, such as .*x\.png"):
        load(tmp_path)


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 4, "b": 4})
    (tmp_path / "b" / "link.png").symlink_to(tmp_path / "gone.png")
    for kind in ("quick", "content"):
        with pytest.raises(OptionError, match=r"cannot read 1 of 9 images, such as .*link\.png \(No such file"):
            load(tmp_path, fingerprint=kind)


def test_a_named_pipe_is_named_instead_of_waited_for(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 4, "b": 4})
    os.mkfifo(tmp_path / "b" / "pipe.png")
    for kind in ("quick", "content"):
        with pytest.raises(OptionError, match=r"cannot read 1 of 9 images, such as .*pipe\.png \(not a regular file"):
            load(tmp_path, fingerprint=kind)
    assert sum(sizes(load(tmp_path, broken="skip")).values()) == 8


def broken(root: Path) -> Path:
    """Four good images of each of two classes, and of one class three that cannot be read."""
    folder(root, {"a": 4, "b": 4})
    (root / "b" / "empty.jpg").write_bytes(b"")
    (root / "b" / "text.png").write_bytes(b"<html>Not found</html>")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(root / "b" / "float.tif")
    return root


def test_broken_files_are_refused_or_skipped(tmp_path: Path) -> None:
    broken(tmp_path)
    with pytest.raises(OptionError, match=r"dataset\.root=.*cannot read 3 of 11 images, such as .*empty\.jpg \(empty"):
        load(tmp_path)
    source = load(tmp_path, broken="skip")
    check_sets(source)
    assert len(source.labels) == 8
    assert "3 unreadable images skipped (b/empty.jpg, b/float.tif, b/text.png)" in source.summary
    for i in range(4):
        (tmp_path / "b" / f"{i}.png").unlink()
    with pytest.raises(OptionError, match=r"no image of class b can be read, such as .*empty\.jpg"):
        load(tmp_path, broken="skip")


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_set_without_a_readable_image_is_refused(tmp_path: Path, part: str) -> None:
    """It must not be replaced by a part of another set."""
    folder(tmp_path, {"train/a": 6, "train/b": 6, "test/a": 6, "test/b": 6})
    for path in (tmp_path / part).rglob("*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(OptionError, match=rf"no image of the {part} set can be read, such as .*/{part}/a/0\.png"):
        load(tmp_path, broken="skip")


def test_broken_files_of_a_table(tmp_path: Path) -> None:
    broken(tmp_path)
    names = [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*.*"))]
    table(tmp_path, [{"image": str(name), "label": str(name.parent)} for name in names])
    with pytest.raises(OptionError, match=r"cannot read 3 of 11 images"):
        load(tmp_path, "image_csv")
    assert len(load(tmp_path, "image_csv", broken="skip").labels) == 8


def test_a_picture_above_the_limit_is_found_before_training(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 4, "b": 4})
    photograph(tmp_path / "b" / "scan.png")
    photograph(tmp_path / "b" / "scan.jpg", 1)
    assert len(load(tmp_path).labels) == 10
    with pytest.raises(OptionError, match=r"1 of 10 images, such as .*scan\.png \(200×200 .*dataset\.max_pixels=10000"):
        load(tmp_path, max_pixels=10_000)


def test_the_outcome_is_cached_until_the_data_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, {"a": 70, "b": 70})
    examined: list[str] = []
    examine = check._examine
    monkeypatch.setattr(check, "_examine", lambda path, *rest: examined.append(path) or examine(path, *rest))  # type: ignore[func-returns-value]
    progress: list[tuple[int, int]] = []
    o = options(name="image_folder", root=str(tmp_path))
    first = check_files(o, lambda done, total: progress.append((done, total)))
    assert len(examined) == 140
    assert progress == [(64, 140), (128, 140), (140, 140)]
    assert check_files(o) == first
    assert len(examined) == 140
    image(tmp_path / "a" / "0.png", 200)
    assert check_files(o).fingerprint != first.fingerprint
    assert len(examined) == 280


def test_a_file_that_can_be_read_again_is_no_longer_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, {"a": 4, "b": 4})
    with monkeypatch.context() as patched:
        patched.setattr(check, "_examine", lambda path, *rest: ("Permission denied", b"", (0, 0)))
        with pytest.raises(OptionError, match=r"cannot read 8 of 8 .*Permission denied"):
            load(tmp_path)
    assert len(load(tmp_path).labels) == 8


def test_a_cache_that_cannot_be_used_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder(tmp_path / "photos", {"a": 4, "b": 4})
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(load(tmp_path / "photos").labels) == 8
    assert "Cannot cache the check" in caplog.text


# -- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_exact_copies_stay_on_one_side(tmp_path: Path, seed: int) -> None:
    """40 images, each of them twice under two names, small ones and ones of which only the edges are read."""
    for i in range(40):
        make = photograph if i % 4 == 0 else image
        make(tmp_path / "ab"[i % 2] / f"{i}.png", i)
        copy = tmp_path / "ab"[i % 2] / f"again{i}.png"
        copy.write_bytes((tmp_path / "ab"[i % 2] / f"{i}.png").read_bytes())
    source = load(tmp_path, split_seed=seed)
    check_sets(source)
    assert source.paths is not None
    of_set = {
        name: {Path(source.paths[i]).stem.removeprefix("again") for i in items} for name, items in source.sets.items()
    }
    assert {name: 2 * len(numbers) for name, numbers in of_set.items()} == sizes(source)
    assert sizes(source) == {"train": 58, "validation": 6, "test": 16}


def test_copies_across_given_sets_are_noted(tmp_path: Path) -> None:
    folder(tmp_path, {"train/a": 6, "train/b": 6, "test/a": 2, "test/b": 2})
    (tmp_path / "test" / "a" / "leak.png").write_bytes((tmp_path / "train" / "a" / "3.png").read_bytes())
    assert "1 test image also in train (same bytes)" in load(tmp_path, validation=0.01, split_seed=1).summary


def test_copies_in_two_classes_are_noted(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 6, "b": 6})
    (tmp_path / "b" / "again.png").write_bytes((tmp_path / "a" / "3.png").read_bytes())
    source = load(tmp_path)
    check_sets(source)
    assert "2 images with an exact copy in another class" in source.summary


def test_images_that_differ_in_the_middle_are_no_copies(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 4, "b": 4})
    pixels = np.random.RandomState(0).randint(0, 256, (200, 200, 3)).astype(np.uint8)
    for i in range(2):
        pixels[100, 100] = i
        Image.fromarray(pixels).save(tmp_path / "a" / f"large{i}.bmp")
    (tmp_path / "b" / "again.bmp").write_bytes((tmp_path / "a" / "large0.bmp").read_bytes())
    found = check_files(options(name="image_folder", root=str(tmp_path))).copies
    assert found == [["a/large0.bmp", "b/again.bmp"]]


@pytest.mark.parametrize(("size", "message"), [((9, 8), r"x\.png is 9×8"), ((9, 9), r"x\.png is 9×9 .*first is 8×8")])
def test_sizes_for_a_resident_set_are_checked_without_decoding(
    tmp_path: Path, size: tuple[int, int], message: str
) -> None:
    folder(tmp_path, {"a": 4, "b": 4})
    assert preview(options(name="image_folder", root=str(tmp_path), resident=True)).fingerprint
    image(tmp_path / "b" / "x.png", 100, size)
    for _ in range(2):  # also from the cache
        with pytest.raises(OptionError, match=rf"dataset\.image_size=null .*{message}.*set dataset\.image_size"):
            preview(options(name="image_folder", root=str(tmp_path), resident=True))
    for values in ({"resident": False}, {"resident": True, "image_size": 8}):
        assert preview(options(name="image_folder", root=str(tmp_path), **values)).fingerprint
    with pytest.raises(OptionError, match=r"dataset\.resident=true needs .* GB"):
        preview(options(name="image_folder", root=str(tmp_path), resident=True, image_size=1_000_000))


# -- without torch ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["imagenet", "image_folder", "image_csv", "cifar10", "svhn", "food101"])
def test_a_missing_root_is_found_by_the_preview(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match=r"dataset\.root=/nowhere"):
        preview(options(name=name, root="/nowhere"))


def test_the_preview_of_published_data_sets(tmp_path: Path) -> None:
    assert preview(options()).summary == (
        "digits: 10 classes (0, 1, 2, 3, 4, … 5 more), 1,294 train, 145 validation (10% of train),"
        " 358 test (20% of all)"
    )
    os.makedirs(tmp_path / "cifar-10-batches-py")
    assert preview(options(name="cifar10", root=str(tmp_path))) == ("cifar10: 10 classes", "cifar10", 10, 3, 32, 45_000)
    assert preview(options(name="mnist", root=str(tmp_path / "new"), download=True)).fingerprint == "mnist"
