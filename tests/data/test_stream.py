"""Streamed images: the same bits from any start and any number of workers, timm's transforms, workers that end."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.batch import Batch, Spec
from rdrop_exp.data.load import load_data
from rdrop_exp.data.stream import Streamed, posterize

AUGMENTED: dict[str, Any] = {"flip": True, "erase": 0.5, "rand_augment": "rand-m9-n3-mstd0.5-inc1", "color_jitter": 0.4}
# torch warns of more workers than cores; the tests ask for two wherever they run.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


def load(root: Path | None = None, batch_size: int = 8, seed: int = 0, **options: Any) -> Streamed:
    if root is not None:
        options = {"name": "image_folder", "root": str(root), "image_size": 16, **options}
    values = {"workers": 0, **options, "resident": False}
    data = load_data(Dataset(**values), batch_size=batch_size, seed=seed, device=torch.device("cpu"))
    assert isinstance(data, Streamed)
    return data


def same(first: Iterable[Batch], second: Iterable[Batch]) -> bool:
    pairs = list(itertools.zip_longest(first, second))
    return all(a and b and torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets) for a, b in pairs)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 30 photograph-like JPEGs of different sizes."""
    root = tmp_path_factory.mktemp("pictures")
    draws = np.random.RandomState(0)
    for i in range(60):
        path = root / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(draws.randint(0, 256, (5, 5, 3)).astype(np.uint8))
        coarse.resize((20 + i, 40 - i // 2), Image.Resampling.BICUBIC).save(path)
    return root


def test_batches_have_the_promised_shapes(pictures: Path) -> None:
    data = load(pictures)
    assert data.spec == Spec(classes=2, channels=3, image_size=16)
    assert data.sizes == {"train": 43, "validation": 5, "test": 12}
    batches = list(data.train(0))
    assert len(batches) == data.steps_per_epoch == 5
    assert all(b.inputs.shape == (8, 3, 16, 16) and b.inputs.dtype == torch.float32 for b in batches)
    assert all(b.targets.shape == (8,) and b.targets.dtype == torch.int64 for b in batches)
    assert sum(len(b.targets) for b in data.validation()) == 5
    assert sum(len(b.targets) for b in data.test()) == 12
    assert load(pictures, image_size=None).spec.image_size == 224


@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.2, "cutmix": 1.0}], ids=["plain", "mixed"])
def test_a_later_start_equals_skipping(pictures: Path, mixing: dict[str, object]) -> None:
    options = AUGMENTED | mixing
    data = load(pictures, **options)
    whole = list(data.train(2))
    for start in range(6):
        assert same(data.train(2, start), whole[start:])
    assert same(load(pictures, **options).train(2, 3), whole[3:])
    assert not same(data.train(3), whole)
    assert not same(load(pictures, seed=1, **options).train(2), whole)


def test_an_image_is_augmented_anew_in_each_epoch(pictures: Path) -> None:
    items = load(pictures, **AUGMENTED).items
    first, again, later, other = (items[key][0] for key in ((0, 5), (0, 5), (1, 5), (0, 7)))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert not torch.equal(first, other)


def test_workers_change_nothing(pictures: Path) -> None:
    """One start of the fork server serves all that is said of workers here: it is what takes the time."""
    alone, helped = load(pictures, **AUGMENTED), load(pictures, workers=2, **AUGMENTED)
    assert same(helped.train(0), alone.train(0))
    assert same(helped.train(1, 3), alone.train(1, 3))
    assert same(helped.train(1, 5), [])
    assert same(helped.validation(), alone.validation())
    # One set of workers has served all of these, as also when a pass is given up or has given its last batch.
    (loader,) = helped.idle
    next(helped.train(2))
    epoch = helped.train(3)
    for _ in range(5):
        next(epoch)
    assert same(helped.test(), alone.test())
    assert helped.idle == [loader]
    # Two passes at the same time do not disturb each other.
    both = list(zip(helped.train(4), helped.train(5), strict=True))
    assert same((a for a, _ in both), alone.train(4))
    assert same((b for _, b in both), alone.train(5))
    # An unreadable image is named from within a worker too.
    helped.items.source.paths[:] = ["gone.jpg"] * 60  # type: ignore[index]
    helped.idle.clear()
    with pytest.raises(OptionError, match=r"cannot read image gone\.jpg"):
        list(helped.train(0))


def test_an_unreadable_image_is_named(pictures: Path, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("RGB", (9, 9)).save(tmp_path / name / f"{i}.jpg")
    whole = (tmp_path / "a" / "0.jpg").read_bytes()
    for path in tmp_path.rglob("*.jpg"):
        path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OptionError, match=r"cannot read 8 of 8 images, such as .*\.jpg"):
        next(load(tmp_path, batch_size=2).train(0))


def test_augmentation_neither_reads_nor_changes_global_randomness(pictures: Path) -> None:
    data = load(pictures, mixup=1.0, **AUGMENTED)
    first = list(data.train(0))
    torch.manual_seed(7), random.seed(7), np.random.seed(7)  # noqa: NPY002
    before: Any = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    assert same(data.train(0), first)
    list(data.validation())
    after: Any = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    assert before[0] == after[0]
    assert (before[1][1] == after[1][1]).all()
    assert torch.equal(before[2], after[2])


def test_limit_and_repeat(pictures: Path) -> None:
    data = load(pictures, limit=2, batch_size=2)
    assert [len(list(batches)) for batches in (data.train(0), data.validation(), data.test())] == [2, 2, 2]
    assert same(data.train(1), itertools.islice(load(pictures, batch_size=2).train(1), 2))
    repeated = load(pictures, repeat_batch=True, mixup=1.0, **AUGMENTED)
    batches = [*repeated.train(0), *repeated.train(1, 2)]
    assert len(batches) == 8
    assert same(batches, itertools.repeat(batches[0], 8))


def test_evaluation_sees_the_middle_of_a_photograph(pictures: Path) -> None:
    data = load(pictures, image_size=14, mean=[0.0] * 3, std=[1.0] * 3)
    batch = next(data.validation())
    source = data.items.source
    picture = source.picture(int(source.sets["validation"][0]))
    side = 16 / min(picture.size)
    sizes = [int(side * n) for n in picture.size]  # 14 / 0.875 on the shorter side
    left, top = (round((n - 14) / 2) for n in sizes)
    expected = picture.resize((sizes[0], sizes[1]), Image.Resampling.BICUBIC).crop((left, top, left + 14, top + 14))
    torch.testing.assert_close(batch.inputs[0], torch.from_numpy(np.array(expected)).permute(2, 0, 1) / 255)


def test_known_arrays_stream_as_they_are() -> None:
    data = load(batch_size=64)
    assert data.spec == Spec(10, 1, 8)
    resident = load_data(Dataset(), batch_size=64, seed=0, device=torch.device("cpu"))
    assert same(data.validation(), resident.validation())
    same_order = zip(data.train(1), resident.train(1), strict=True)
    assert all(torch.equal(a.targets, b.targets) for a, b in same_order)
    # Whole images, neither flipped nor coloured: the same as resident ones.
    assert same(load(batch_size=64, scale=[1.0, 1.0], limit=3).train(0), itertools.islice(resident.train(0), 3))


def test_grey_images_take_every_augmentation() -> None:
    data = load(batch_size=128, **AUGMENTED)
    inputs = torch.cat([b.inputs for b in data.train(0)])
    assert inputs.shape[1:] == (1, 8, 8)
    assert inputs.isfinite().all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "random"])
def test_interpolation_and_scale_are_used(pictures: Path, interpolation: str) -> None:
    first = next(load(pictures, interpolation=interpolation).train(0))
    others: list[dict[str, Any]] = [
        {"interpolation": i} for i in ("bilinear", "bicubic", "random") if i != interpolation
    ]
    for change in [*others, {"interpolation": interpolation, "scale": [0.9, 1.0]}]:
        assert not torch.equal(first.inputs, next(load(pictures, **change).train(0)).inputs)


def test_flip_is_used(pictures: Path) -> None:
    straight, flipped = (torch.cat([b.inputs for b in load(pictures, flip=f).train(0)]) for f in (False, True))
    mirrored = (straight.flip(-1) == flipped).flatten(1).all(1)
    assert ((straight == flipped).flatten(1).all(1) | mirrored).all()
    assert 10 <= mirrored.sum() <= 30  # of 40


def test_colour_jitter_acts_together_with_rand_augment(pictures: Path) -> None:
    with_jitter, without = (load(pictures, rand_augment="rand-m1-n1-p0", color_jitter=j).train(0) for j in (0.8, 0.0))
    assert not torch.equal(next(with_jitter).inputs, next(without).inputs)


def test_posterizing_to_0_bits_is_black() -> None:
    for mode in ("L", "RGB"):
        picture = Image.new(mode, (4, 4), 200 if mode == "L" else (200, 100, 50))
        assert not np.asarray(posterize(picture, 0)).any()
        assert (np.asarray(posterize(picture, 8)) == np.asarray(picture)).all()
        assert np.asarray(posterize(picture, 1)).max() == 128


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": [0.5]}, r"dataset\.scale=\[0\.5\] must be two increasing numbers"),
        ({"scale": [0.5, 0.2]}, r"dataset\.scale=\[0\.5, 0\.2\] must be"),
        ({"rand_augment": "rnad-m9"}, r"dataset\.rand_augment=rnad-m9 is not a policy that timm knows"),
        ({"mean": [0.5]}, r"dataset\.mean=\[0\.5\] must have 3 numbers"),
    ],
)
def test_options_that_do_not_fit(pictures: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load(pictures, **options)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="lists processes as Linux does")
def test_workers_outlive_a_signal_to_all_but_not_a_killed_trainer(pictures: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import signal, sys, torch\n"
        "from rdrop_exp.config.dataset import Dataset\n"
        "from rdrop_exp.data.load import load_data\n"
        "if __name__ == '__main__':\n"
        "    o = Dataset(name='image_folder', root=sys.argv[1], image_size=16, resident=False, workers=2)\n"
        "    data = load_data(o, batch_size=2, seed=0, device=torch.device('cpu'))\n"
        "    signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "    signal.signal(signal.SIGINT, lambda *_: None)\n"
        "    list(data.train(0))\n"
        "    print(*(w.pid for w in data.idle[0].loader._iterator._workers), flush=True)\n"
        "    sys.stdin.readline()\n"
        "    print(len(list(data.train(1))), flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    command = [sys.executable, str(script), str(pictures)]
    trainer = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert trainer.stdin is not None
    assert trainer.stdout is not None
    workers = [int(pid) for pid in trainer.stdout.readline().split()]
    assert len(workers) == 2
    assert all(_runs(pid) for pid in workers)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.killpg(trainer.pid, number)
    print(file=trainer.stdin, flush=True)
    assert int(trainer.stdout.readline()) > 1
    os.kill(trainer.pid, signal.SIGKILL)
    trainer.communicate()
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_runs(pid) for pid in workers)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
