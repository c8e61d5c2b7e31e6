"""Reading every data set by name, and splitting it: disjoint, complete, stratified, the same each time."""

import itertools
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdrop_exp.config.schema import OptionError
from rdrop_exp.data import datasets, splits
from rdrop_exp.data.published import TORCHVISION
from tests.data.helpers import check_sets, image, options

# -- splits -----------------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=12).filter(lambda c: sum(c) > 3 * len(c)),
    validation=st.floats(0.05, 0.5),
    test=st.floats(0.05, 0.5),
    fraction=st.floats(0.01, 1.0),
)
def test_splits_partition_and_stratify(counts: list[int], validation: float, test: float, fraction: float) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    o = options(validation=validation, test=test)
    sets = splits.three_sets(labels, {"train": np.arange(len(labels))}, o)
    assert sorted(np.concatenate(list(sets.values()))) == list(range(len(labels)))
    assert all(len(items) for items in sets.values())
    rest = np.array(counts)
    for name, share in (("test", test), ("validation", validation)):
        taken = np.bincount(labels[sets[name]], minlength=len(counts))
        # Floor or ceiling of the share; but a class's last item stays, and a set has one at least.
        assert (np.abs(taken - share * rest) < 1).all() or len(sets[name]) == 1
        assert (taken < rest).all()
        rest = rest - taken
    kept = splits.three_sets(
        labels, {"train": np.arange(len(labels))}, options(validation=validation, test=test, fraction=fraction)
    )
    assert (kept["test"] == sets["test"]).all()
    assert set(kept["train"]) <= set(sets["train"])
    of_class = np.bincount(labels[kept["train"]], minlength=len(counts))
    assert (of_class >= 1).all()
    assert (np.abs(of_class - np.maximum(fraction * rest, 1)) < 1).all()


def test_the_total_of_a_split_is_near_its_share() -> None:
    labels = np.repeat(np.arange(100), 7)  # 0.7 of an item a class
    sets = splits.three_sets(labels, {"train": np.arange(700)}, options(validation=0.1, test=0.1))
    assert len(sets["test"]) == 70


def test_fractions_are_nested() -> None:
    kept = [datasets.load(options(fraction=f)).sets for f in (0.003, 0.1, 0.5, 1.0)]
    sizes = [len(sets["train"]) for sets in kept]
    assert sizes[0] == 10
    assert sizes[1] == pytest.approx(0.1 * sizes[3], abs=5)
    for small, large in itertools.pairwise(kept):
        assert set(small["train"]) < set(large["train"])
        assert (small["validation"] == large["validation"]).all()
        assert (small["test"] == large["test"]).all()


def test_splits_depend_on_their_seed_only() -> None:
    first, again, other = (datasets.load(options(split_seed=s)).sets for s in (3, 3, 4))
    for name in first:
        assert (first[name] == again[name]).all()
        assert set(first[name]) != set(other[name])
    # The stream behind the splits is frozen, so these are the same on any machine and version.
    assert datasets.load(options()).sets["test"][:4].tolist() == [118, 1070, 1674, 703]


def test_the_first_items_of_each_set_are_of_many_classes() -> None:
    source = datasets.load(options())
    for items in source.sets.values():
        assert len(set(source.labels[items[:32]])) >= 8


def test_too_few_images_to_split() -> None:
    with pytest.raises(OptionError, match=r"dataset\.test=0\.2 cannot be split off"):
        splits.three_sets(np.arange(5), {"train": np.arange(5)}, options())


# -- digits -----------------------------------------------------------------------------------------------------------


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    source = datasets.load(options())
    bunch = load_digits()
    check_sets(source)
    assert (source.labels == bunch.target).all()
    assert source.images is not None
    assert source.images.shape == (1797, 1, 8, 8)
    assert (np.abs(source.images[:, 0] / 255 * 16 - bunch.images) < 0.04).all()
    assert source.images.max() == 255
    assert (source.classes, source.channels) == (10, 1)
    assert len(source.sets["test"]) == pytest.approx(0.2 * 1797, abs=5)
    assert len(source.sets["validation"]) == pytest.approx(0.1 * 0.8 * 1797, abs=5)


def test_the_names_are_cheap_to_import() -> None:
    heavy = "[m for m in ('torch', 'sklearn', 'torchvision', 'timm', 'numpy') if m in sys.modules]"
    code = f"import sys; import rdrop_exp.data.datasets; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    code = (
        "import sys; from rdrop_exp.config.options import Dataset; from rdrop_exp.data import datasets;"
        "datasets.load(Dataset()); print([m for m in ('torch', 'sklearn', 'torchvision') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# -- torchvision's ----------------------------------------------------------------------------------------------------


def mnist(root: Path, name: str = "MNIST") -> dict[str, int]:
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 40), ("t10k", 20)):
        pixels = np.repeat(np.arange(count, dtype=np.uint8), 28 * 28)
        head = np.array([0x803, count, 28, 28], ">i4").tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(np.array([0x801, count], ">i4").tobytes() + labels.tobytes())
    return {"train": 40, "test": 20}


def cifar(root: Path, name: str) -> dict[str, int]:
    fine = name == "cifar100"
    base = root / ("cifar-100-python" if fine else "cifar-10-batches-py")
    base.mkdir(parents=True)
    classes = 100 if fine else 10
    count = 4 * classes
    files = ["train", "test"] if fine else [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for file in files:
        data = np.zeros((count, 3, 1024), np.uint8)
        data[:, 0], data[:, 1] = (np.arange(count) % classes)[:, None], 200
        entry = {
            "data": data.reshape(count, -1),
            "fine_labels" if fine else "labels": (np.arange(count) % classes).tolist(),
        }
        (base / file).write_bytes(pickle.dumps(entry))
    meta = {"fine_label_names" if fine else "label_names": [str(i) for i in range(classes)]}
    (base / ("meta" if fine else "batches.meta")).write_bytes(pickle.dumps(meta))
    return {"train": count * (len(files) - 1), "test": count}


def svhn(root: Path) -> dict[str, int]:
    from scipy.io import savemat

    for part, count in (("train", 50), ("test", 20)):
        x = np.zeros((32, 32, 3, count), np.uint8)
        labels = np.arange(count) % 10
        x[:, :, 0], x[:, :, 1] = labels, 200
        savemat(root / f"{part}_32x32.mat", {"X": x, "y": np.where(labels == 0, 10, labels)[:, None]})
    return {"train": 50, "test": 20}


def stl10(root: Path) -> dict[str, int]:
    base = root / "stl10_binary"
    base.mkdir()
    for part, count in (("train", 50), ("test", 20), ("unlabeled", 1)):
        x = np.zeros((count, 3, 96, 96), np.uint8)
        x[:, 0], x[:, 1] = (np.arange(count) % 10)[:, None, None], 200
        (base / f"{part}_X.bin").write_bytes(x.tobytes())
        (base / f"{part}_y.bin").write_bytes((np.arange(count) % 10 + 1).astype(np.uint8).tobytes())
    return {"train": 50, "test": 20}


def flowers102(root: Path) -> dict[str, int]:
    from scipy.io import savemat

    base = root / "flowers-102"
    for i in range(1, 41):
        image(base / "jpg" / f"image_{i:05d}.jpg", (i - 1) % 10)
    savemat(base / "imagelabels.mat", {"labels": np.arange(40) % 10 + 1})
    savemat(base / "setid.mat", {"trnid": np.arange(1, 21), "valid": np.arange(21, 31), "tstid": np.arange(31, 41)})
    return {"train": 20, "validation": 10, "test": 10}


def pets(root: Path) -> dict[str, int]:
    base = root / "oxford-iiit-pet"
    (base / "annotations").mkdir(parents=True)
    for part, count in (("trainval", 40), ("test", 20)):
        names = [f"breed_{part}_{i}" for i in range(count)]
        for i, name in enumerate(names):
            image(base / "images" / f"{name}.jpg", i % 10)
        lines = [f"{name} {i % 10 + 1} 1 1\n" for i, name in enumerate(names)]
        (base / "annotations" / f"{part}.txt").write_text("".join(lines))
    return {"train": 40, "test": 20}


def food101(root: Path) -> dict[str, int]:
    base = root / "food-101"
    (base / "meta").mkdir(parents=True)
    for part, count in (("train", 4), ("test", 2)):
        names = {f"dish{c}": [f"dish{c}/{part}{i}" for i in range(count)] for c in range(10)}
        for c in range(10):
            for name in names[f"dish{c}"]:
                image(base / "images" / f"{name}.jpg", c)
        (base / "meta" / f"{part}.json").write_text(json.dumps(names))
    return {"train": 40, "test": 20}


WRITERS = {
    "mnist": mnist,
    "fashion_mnist": lambda root: mnist(root, "FashionMNIST"),
    "cifar10": lambda root: cifar(root, "cifar10"),
    "cifar100": lambda root: cifar(root, "cifar100"),
    "svhn": svhn,
    "stl10": stl10,
    "flowers102": flowers102,
    "pets": pets,
    "food101": food101,
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_sets(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made in torchvision's own layout, with the class of each image as its red (or grey) value."""
    from torchvision.datasets import cifar as c
    from torchvision.datasets import flowers102 as f
    from torchvision.datasets import stl10 as t
    from torchvision.datasets import svhn as v

    for module in (c, f, t, v):  # the checksums of the real files
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: Path(path).is_file())
    monkeypatch.setattr(v.SVHN, "_check_integrity", lambda self: True)
    counts = WRITERS[name](tmp_path)
    source = datasets.load(options(name=name, root=str(tmp_path), validation=0.3))
    check_sets(source)
    assert len(source.labels) == sum(counts.values())
    assert len(source.sets["test"]) == counts["test"]
    if "validation" in counts:
        assert len(source.sets["validation"]) == counts["validation"]
    else:
        assert len(source.sets["validation"]) == pytest.approx(0.3 * counts["train"], abs=2)
    known = TORCHVISION[name]
    assert source.classes == known.classes
    assert known.mean is None or len(known.mean) == len(known.std or []) == source.channels
    for item in (0, 13, len(source.labels) - 1):
        pixels = np.asarray(source.picture(item)).astype(int)
        assert pixels.shape[2:] == (() if source.channels == 1 else (3,))
        value = pixels.reshape(-1, source.channels)[:, 0].mean() % (10 if "mnist" in name else 1000)
        assert value == pytest.approx(source.labels[item], abs=0 if source.paths is None else 1.5)
        if source.channels == 3:  # channels are where they belong
            assert pixels[..., 1].min() >= 199


def test_missing_torchvision_files_say_what_to_do(tmp_path: Path) -> None:
    for name in TORCHVISION:
        with pytest.raises(OptionError, match=r"dataset\.root=.* not found .*dataset\.download=true"):
            datasets.load(options(name=name, root=str(tmp_path / "none")))


def test_a_download_that_fails_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import mnist as module

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(module, "download_and_extract_archive", fail)
    with pytest.raises(OptionError, match=r"dataset\.download=true could not download.*no network$"):
        datasets.load(options(name="mnist", root=str(tmp_path / "new"), download=True))


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"dataset\.name=cifar_10 .*did you mean cifar10\?"):
        datasets.load(options(name="cifar_10"))


@pytest.mark.parametrize("name", [name for name, known in TORCHVISION.items() if known.train])
def test_the_size_of_a_published_training_set_is_known_without_reading_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "check_torchvision", lambda _: None)
    known = TORCHVISION[name]
    counts = list(known.train) * (known.classes if len(known.train) == 1 else 1)
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(known.classes), counts))  # as they may lie
    for o in (options(name=name), options(name=name, fraction=0.013, validation=0.07)):
        given_sets = {
            "train": np.arange(len(labels)),
            **{part: np.arange(9) for part in known.parts if part != "train"},
        }
        assert datasets.preview(o).train == len(splits.three_sets(labels, given_sets, o)["train"]) > 0
