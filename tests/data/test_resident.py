"""Whole batches on the device: the same bits from any start, augmentation as a slow version has it, cache, errors."""

import itertools
import logging
import os
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data import augment, cache, resident
from rdrop_exp.data.batch import Batch, Data, Spec
from rdrop_exp.data.load import load_data

CPU = torch.device("cpu")
EVERYTHING: dict[str, Any] = {
    "crop": 1,
    "flip": True,
    "erase": 0.5,
    "mixup": 0.4,
    "cutmix": 1.0,
    "label_smoothing": 0.1,
}


def load(batch_size: int = 64, seed: int = 0, **options: Any) -> Data:
    return load_data(Dataset(**options), batch_size=batch_size, seed=seed, device=CPU)


def same(first: Iterable[Batch], second: Iterable[Batch]) -> bool:
    pairs = list(itertools.zip_longest(first, second))
    return all(a and b and torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets) for a, b in pairs)


# -- batches ----------------------------------------------------------------------------------------------------------


def test_batches_have_the_promised_shapes() -> None:
    data = load()
    assert data.spec == Spec(classes=10, channels=1, image_size=8)
    assert data.steps_per_epoch == data.sizes["train"] // 64
    batches = list(data.train(0))
    assert len(batches) == data.steps_per_epoch
    assert all(b.inputs.shape == (64, 1, 8, 8) and b.inputs.dtype == torch.float32 for b in batches)
    assert all(b.targets.shape == (64,) and b.targets.dtype == torch.int64 and b.mask is None for b in batches)
    for name, evaluated in (("validation", list(data.validation())), ("test", list(data.test()))):
        assert sum(len(b.inputs) for b in evaluated) == data.sizes[name]
        assert all(b.targets.dtype == torch.int64 for b in evaluated)
        assert same(evaluated, data.validation() if name == "validation" else data.test())


def test_an_epoch_holds_each_item_at_most_once_in_an_order_of_its_own() -> None:
    data = load(batch_size=50)
    epochs = [torch.cat([b.inputs for b in data.train(epoch)]).flatten(1) for epoch in (0, 1)]
    sets = [{tuple(image.tolist()) for image in epoch} for epoch in epochs]
    assert all(len(s) == data.steps_per_epoch * 50 for s in sets)
    assert not torch.equal(*epochs)
    assert not torch.equal(epochs[0], torch.cat([b.inputs for b in load(batch_size=50, seed=1).train(0)]).flatten(1))


def test_normalised_training_images_have_mean_0_and_deviation_1() -> None:
    inputs = torch.cat([b.inputs for b in load(batch_size=1).train(0)]).double()
    assert inputs.mean().item() == pytest.approx(0, abs=1e-6)
    assert inputs.std(correction=0).item() == pytest.approx(1, abs=1e-6)


def test_given_mean_and_deviation_are_used() -> None:
    plain = torch.cat([b.inputs for b in load(mean=[0.0], std=[1.0]).validation()])
    assert (plain.min(), plain.max()) == (0, pytest.approx(1))
    scaled = torch.cat([b.inputs for b in load(mean=[0.25], std=[0.5]).validation()])
    torch.testing.assert_close(scaled, (plain - 0.25) / 0.5)


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("start", [0, 1, 7, 20])
def test_a_later_start_equals_skipping(options: dict[str, Any], start: int) -> None:
    data = load(**options)
    assert data.steps_per_epoch == 20
    whole = list(data.train(3))
    assert same(data.train(3, start), whole[start:])
    assert same(load(**options).train(3, start), whole[start:])
    if options:
        assert not same(data.train(4), whole)


def test_augmentation_neither_reads_nor_changes_global_randomness() -> None:
    data = load(**EVERYTHING)
    first = list(data.train(0))
    torch.manual_seed(7), random.seed(7), np.random.seed(7)  # noqa: NPY002
    before: Any = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    assert same(data.train(0), first)
    after: Any = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    assert before[0] == after[0]
    assert (before[1][1] == after[1][1]).all()
    assert torch.equal(before[2], after[2])


def test_fewer_items_than_a_batch_make_one_batch() -> None:
    data = load(batch_size=10_000)
    assert data.steps_per_epoch == 1
    (batch,) = data.train(0)
    assert len(batch.inputs) == data.sizes["train"]
    odd = load(batch_size=10_000, fraction=0.01, mixup=1.0)
    (batch,) = odd.train(0)
    assert len(batch.inputs) == odd.sizes["train"] // 2 * 2


def test_limit_counts_batches_of_each_set() -> None:
    data = load(batch_size=16, limit=2)
    assert data.steps_per_epoch == 2
    assert [len(list(batches)) for batches in (data.train(0), data.validation(), data.test())] == [2, 2, 2]
    unlimited = load(batch_size=16)
    assert same(data.train(5), itertools.islice(unlimited.train(5), 2))
    assert same(data.validation(), itertools.islice(unlimited.validation(), 2))


def test_repeat_batch_is_one_batch_again_and_again() -> None:
    data = load(repeat_batch=True, **EVERYTHING)
    batches = [*data.train(0), *data.train(1, 3)]
    assert len(batches) == 2 * data.steps_per_epoch - 3
    assert same(batches, itertools.repeat(batches[0], len(batches)))
    assert len(batches[0].targets.argmax(1).unique()) >= 8


# -- augmentation -----------------------------------------------------------------------------------------------------


def test_crop_and_flip_equal_a_slow_version() -> None:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (32, 3, 12, 12), dtype=torch.uint8, generator=draws)
    top, left = torch.randint(0, 7, (2, 32), generator=draws)
    flipped = torch.randint(0, 2, (32,), generator=draws).bool()
    fast = augment.crop_flip(images, 3, top, left, flipped)
    for i in range(32):
        padded = np.zeros((3, 18, 18), np.uint8)
        padded[:, 3:15, 3:15] = images[i].numpy()
        slow = padded[:, top[i] : top[i] + 12, left[i] : left[i] + 12]
        assert (fast[i].numpy() == (slow[:, :, ::-1] if flipped[i] else slow)).all()


def test_training_images_are_evenly_drawn_crops_and_flips_of_the_originals() -> None:
    options: dict[str, Any] = {"mean": [0.0], "std": [1.0]}
    plain, cropped = (
        torch.cat([b.inputs for b in load(**options, **o).train(0)]) for o in ({}, {"crop": 1, "flip": True})
    )
    padded = F.pad(plain, (1, 1, 1, 1))
    windows = torch.stack([padded[:, :, y : y + 8, x : x + 8] for y in range(3) for x in range(3)])
    views = torch.cat([windows, windows.flip(-1)])
    matches = (views == cropped).all(-1).all(-1).all(-1).float()
    assert (matches.sum(0) >= 1).all()
    assert ((matches / matches.sum(0)).mean(1) - 1 / 18).abs().max() < 0.025  # 1280 images: 4 deviations


def test_flip_alone_mirrors_half_of_the_images() -> None:
    plain, flipped = (torch.cat([b.inputs for b in load(flip=f).train(0)]) for f in (False, True))
    kept = (plain == flipped).all(-1).all(-1).all(-1)
    mirrored = (plain.flip(-1) == flipped).all(-1).all(-1).all(-1)
    assert (kept | mirrored).all()
    assert kept.float().mean().item() == pytest.approx(0.5, abs=0.07)


def test_erased_rectangles_have_the_promised_areas_and_shapes() -> None:
    size = 64
    corners = augment.rectangles(20_000, size, 0.25, torch.Generator().manual_seed(0)).double()
    top, bottom, left, right = corners
    height, width = bottom - top, right - left
    erased = height > 0
    assert erased.double().mean().item() == pytest.approx(0.25, abs=0.015)
    assert (width[~erased] == 0).all()
    assert (corners >= 0).all()
    assert (corners <= size).all()
    height, width, top, left = height[erased], width[erased], top[erased], left[erased]
    area, aspect = height * width / size**2, (height / width).log()
    assert area.min() > 0.017
    assert area.max() < 0.34
    assert area.mean().item() == pytest.approx(0.175, abs=0.008)
    assert aspect.abs().max() < np.log(3.3) + 0.15  # sides are whole pixels
    assert aspect.mean().item() == pytest.approx(0, abs=0.04)
    free = height < size
    assert (top / (size - height))[free].mean().item() == pytest.approx(0.5, abs=0.02)
    assert (left / (size - width))[width < size].mean().item() == pytest.approx(0.5, abs=0.02)


def test_erasing_sets_the_rectangle_to_the_mean_and_nothing_else() -> None:
    plain, erased = (list(load(erase=e).train(0)) for e in (0.0, 1.0))
    for before, after in zip(plain, erased, strict=True):
        changed = before.inputs != after.inputs
        assert (after.inputs[changed] == 0).all()
        for mask in changed[:, 0]:
            rows, columns = mask.any(1), mask.any(0)
            assert rows.nonzero().numel() * columns.nonzero().numel() <= 0.5 * 64
    assert (
        torch.cat([(a.inputs != b.inputs).flatten(1).any(1) for a, b in zip(plain, erased, strict=True)]).float().mean()
        > 0.9
    )


@pytest.mark.parametrize(
    "options", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.2}]
)
def test_mixed_images_and_targets_agree(options: dict[str, Any]) -> None:
    smoothing = options.get("label_smoothing", 0.0)
    kinds = set()
    for plain, mixed in zip(load().train(0), load(**options).train(0), strict=True):
        assert mixed.targets.shape == (64, 10)
        assert mixed.targets.dtype == torch.float32
        torch.testing.assert_close(mixed.targets.sum(1), torch.ones(64))
        own, other = (augment.smooth(y, 10, smoothing) for y in (plain.targets, plain.targets.flip(0)))
        pair = (plain.targets != plain.targets.flip(0)).nonzero()[0]
        share = ((mixed.targets - other)[pair] / (own - other)[pair]).nanmean().item()  # of the image itself
        torch.testing.assert_close(mixed.targets, share * own + (1 - share) * other)
        blend = share * plain.inputs + (1 - share) * plain.inputs.flip(0)
        if torch.allclose(mixed.inputs, blend, atol=1e-4):
            kinds.add("mixup")
        else:
            kinds.add("cutmix")
            replaced = (mixed.inputs != plain.inputs).any(0).any(0)
            assert torch.equal(mixed.inputs[..., replaced], plain.inputs.flip(0)[..., replaced])
            assert replaced.float().mean().item() <= 1 - share + 1e-5
    assert kinds == {kind for kind in ("mixup", "cutmix") if kind in options}


def test_label_smoothing_is_torchs() -> None:
    plain, smoothed = next(iter(load().train(0))), next(iter(load(label_smoothing=0.15).train(0)))
    assert torch.equal(plain.inputs, smoothed.inputs)
    logits = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    expected = F.cross_entropy(logits, plain.targets, label_smoothing=0.15)
    torch.testing.assert_close(F.cross_entropy(logits, smoothed.targets), expected)


def test_statistics_are_exact() -> None:
    images = np.random.RandomState(0).randint(0, 256, (9000, 3, 4, 4)).astype(np.uint8)
    images[:, 2] = 77
    items = np.random.RandomState(1).permutation(9000)[:8500]
    mean, std = augment.statistics(images, items)
    chosen = images[items].astype(np.float64) / 255
    assert mean == pytest.approx(chosen.mean((0, 2, 3)), rel=1e-12)
    assert std[:2] == pytest.approx(chosen.std((0, 2, 3))[:2], rel=1e-9)
    assert std[2] == pytest.approx(1 / 255)  # a constant channel is not divided by zero


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of 10 pictures, 12 × 12, of noise."""
    draws = np.random.RandomState(0)
    for i in range(20):
        path = tmp_path / "pictures" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.randint(0, 256, (12, 12, 3)).astype(np.uint8)).save(path)
    return tmp_path / "pictures"


def from_folder(root: Path, batch_size: int = 4, **options: Any) -> resident.Resident:
    data = load(batch_size, name="image_folder", root=str(root), **options)
    assert isinstance(data, resident.Resident)
    return data


def test_files_are_decoded_as_they_are(pictures: Path) -> None:
    data = from_folder(pictures)
    assert data.spec == Spec(classes=2, channels=3, image_size=12)
    paths = sorted(str(path) for path in pictures.rglob("*.png"))
    expected = np.stack([np.asarray(Image.open(path)).transpose(2, 0, 1) for path in paths])
    assert (data.images.numpy() == expected).all()
    inputs = torch.cat([b.inputs for b in from_folder(pictures, batch_size=1).train(0)])
    assert inputs.mean((0, 2, 3)).abs().max() < 1e-5  # normalised by the training set's own mean


def test_other_sizes_are_cut_to_the_middle_and_resized(tmp_path: Path) -> None:
    for i, (name, size) in enumerate([("a", (40, 20)), ("b", (20, 20)), ("a", (10, 30)), ("b", (7, 7)), ("b", (9, 9))]):
        draws = np.random.RandomState(i)
        (tmp_path / "p" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.randint(0, 256, (*size[::-1], 3)).astype(np.uint8)).save(
            tmp_path / "p" / name / f"{i}.png"
        )
    with pytest.raises(
        OptionError,
        match=r"dataset\.image_size=null needs square images.*0\.png is 40×20 pixels: set dataset.image_size",
    ):
        from_folder(tmp_path / "p")
    data = from_folder(tmp_path / "p", image_size=10)
    assert data.spec.image_size == 10
    first = Image.open(tmp_path / "p" / "a" / "0.png").crop((10, 0, 30, 20)).resize((10, 10), Image.Resampling.BILINEAR)
    difference = data.images[0].int() - torch.from_numpy(np.array(first)).permute(2, 0, 1).int()
    assert difference[:, :, 1:-1].abs().max() <= 1  # rounding; at the cut, PIL looks a little beyond it


def test_images_of_unlike_sizes_need_image_size(pictures: Path) -> None:
    Image.new("RGB", (13, 13)).save(pictures / "b" / "odd.png")
    with pytest.raises(OptionError, match=r"odd\.png is 13×13 pixels, the first is 12×12: set dataset.image_size"):
        from_folder(pictures)


def test_known_arrays_are_resized_too() -> None:
    data = load(image_size=16)
    assert data.spec == Spec(10, 1, 16)
    small, large = (torch.cat([b.inputs for b in d.validation()]) for d in (load(mean=[0.0], std=[1.0]), data))
    assert large.shape[2:] == (16, 16)
    shrunk = F.avg_pool2d(torch.cat([b.inputs for b in load(image_size=16, mean=[0.0], std=[1.0]).validation()]), 2)
    assert (shrunk - small).abs().mean() < 0.1


def test_decoded_images_are_kept(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = from_folder(pictures)
    decoded: list[int] = []
    decode = resident._decode
    monkeypatch.setattr(resident, "_decode", lambda source, size: decoded.append(1) or decode(source, size))  # type: ignore[func-returns-value]
    assert same(from_folder(pictures).train(0), first.train(0))
    assert not decoded
    from_folder(pictures, image_size=6)
    assert len(decoded) == 1  # another size is another array
    path = next(pictures.rglob("*.png"))
    os.utime(path, ns=(1, 1))
    from_folder(pictures)
    assert len(decoded) == 2  # as is a file of another date
    Image.new("RGB", (12, 12), (1, 2, 3)).save(path)
    changed = from_folder(pictures)
    assert len(decoded) == 3
    assert not same(changed.train(0), first.train(0))
    assert not list(cache.folder().glob("*.tmp"))


def test_a_cache_that_cannot_be_read_is_a_warning(pictures: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = from_folder(pictures)
    (kept,) = cache.folder().glob("*.npy")
    kept.write_bytes(kept.read_bytes()[:500])
    with caplog.at_level(logging.WARNING):
        assert same(from_folder(pictures).train(0), first.train(0))
    assert "Cannot read cached images" in caplog.text
    caplog.clear()
    assert same(from_folder(pictures).train(0), first.train(0))
    assert not caplog.text  # it has been written anew


def test_a_cache_that_cannot_be_written_is_a_warning(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert from_folder(pictures).sizes == {"train": 14, "validation": 2, "test": 4}
    assert "Cannot cache" in caplog.text


def test_an_interrupted_save_leaves_nothing(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        from_folder(pictures)
    assert [path.suffix for path in cache.folder().iterdir()] == [".lock"]


def test_an_unreadable_image_is_named(pictures: Path) -> None:
    (pictures / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    with pytest.raises(OptionError, match=r"cannot read 1 of 21 images, such as .*broken\.png"):
        from_folder(pictures)


def test_a_set_larger_than_memory_is_refused(pictures: Path) -> None:
    with pytest.raises(OptionError, match=r"dataset\.resident=true needs .* GB .*set dataset\.resident=false"):
        from_folder(pictures, image_size=1_000_000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": [0.1, 0.2]}, r"dataset\.mean=\[0\.1, 0\.2\] must have 1 numbers"),
        ({"std": [0.0]}, r"dataset\.std=\[0\.0\] must be greater than 0"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load(**options)


def test_mixing_needs_a_pair(pictures: Path) -> None:
    with pytest.raises(OptionError, match="only one training image"):
        load(batch_size=1, mixup=1.0)


def test_one_process_decodes_while_others_wait(tmp_path: Path) -> None:
    """The lock is the process's own: held here, another process gets it only once it is let go."""
    code = (
        "import pathlib, sys\nfrom rdrop_exp.data import cache\nwith cache.locked(pathlib.Path(sys.argv[1])): print(1)"
    )
    with cache.locked(tmp_path / "lock"):
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
        )
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(1)
    assert other.communicate(timeout=30)[0] == "1\n"
