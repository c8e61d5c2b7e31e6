"""Published data sets: the digits of scikit-learn, and those that torchvision reads."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data import cache
from rdrop_exp.data.listing import place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TorchvisionSet:
    """A data set that torchvision reads."""

    reader: str
    """Its class in torchvision.datasets."""
    folder: str
    """What lies in `dataset.root` when it is there."""
    parts: dict[str, dict[str, Any]]
    """Set → arguments of the class; a set without an entry is split off."""
    classes: int
    mean: list[float] | None = None
    std: list[float] | None = None
    """Of the training images in 0..1."""
    size: int | None = None
    """Side of the images, where all have the same."""
    train: tuple[int, ...] = ()
    """Training images of each class, or of all; empty: not known here."""


_FLAG: dict[str, dict[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
_MNIST = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
_SVHN = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)
_SPLIT: dict[str, dict[str, Any]] = {"train": {"split": "train"}, "test": {"split": "test"}}
TORCHVISION = {
    "mnist": TorchvisionSet("MNIST", "MNIST/raw", _FLAG, 10, [0.1307], [0.3081], 28, _MNIST),
    "fashion_mnist": TorchvisionSet("FashionMNIST", "FashionMNIST/raw", _FLAG, 10, [0.2860], [0.3530], 28, (6000,)),
    "cifar10": TorchvisionSet(
        "CIFAR10", "cifar-10-batches-py", _FLAG, 10, [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616], 32, (5000,)
    ),
    "cifar100": TorchvisionSet(
        "CIFAR100", "cifar-100-python", _FLAG, 100, [0.5071, 0.4866, 0.4409], [0.2673, 0.2564, 0.2762], 32, (500,)
    ),
    "svhn": TorchvisionSet(
        "SVHN", "train_32x32.mat", _SPLIT, 10, [0.4377, 0.4438, 0.4728], [0.1980, 0.2010, 0.1970], 32, _SVHN
    ),
    "stl10": TorchvisionSet(
        "STL10", "stl10_binary", _SPLIT, 10, [0.4467, 0.4398, 0.4066], [0.2603, 0.2566, 0.2713], 96, (500,)
    ),
    "flowers102": TorchvisionSet(
        "Flowers102", "flowers-102", {**_SPLIT, "validation": {"split": "val"}}, 102, train=(10,)
    ),
    "pets": TorchvisionSet(
        "OxfordIIITPet", "oxford-iiit-pet", {"train": {"split": "trainval"}, "test": {"split": "test"}}, 37
    ),
    "food101": TorchvisionSet("Food101", "food-101", _SPLIT, 101, train=(750,)),
}


def read_digits() -> tuple[Any, Any]:
    """scikit-learn's 8×8 digits as uint8, from its file: importing scikit-learn takes longer than reading that."""
    import numpy as np

    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise OptionError("dataset.name=digits needs scikit-learn: pip install scikit-learn")
    table = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    pixels = np.round(table[:, :-1] * 255 / 16).astype(np.uint8)  # 0..16 in the file
    return pixels.reshape(-1, 1, 8, 8), table[:, -1]


def check_torchvision(options: Dataset) -> None:
    """Refuse a data set that is neither there nor to be downloaded, without importing torchvision."""
    if not options.download and not (Path(options.root).expanduser() / TORCHVISION[options.name].folder).exists():
        raise _not_found(options, f"no {TORCHVISION[options.name].folder}")


def read_torchvision(options: Dataset) -> tuple[dict[str, tuple[Any, Any]], list[str]]:
    """Set → (images or paths, labels) as torchvision reads them, and the names of the classes."""
    check_torchvision(options)
    from torchvision import datasets

    known, root = TORCHVISION[options.name], Path(options.root).expanduser()
    parts, names = {}, [str(label) for label in range(known.classes)]
    for part, arguments in known.parts.items():
        try:
            with cache.locked(root / f".{options.name}.lock", options.download):
                read = getattr(datasets, known.reader)(root, download=options.download, **arguments)
        except (RuntimeError, OSError) as error:
            why = " ".join(str(error).split())
            if options.download:
                raise OptionError(
                    f"dataset.download=true could not download {options.name} to {root}: {why}"
                ) from error
            raise _not_found(options, why) from error
        # torchvision's readers of photographs have no public list of files, hence the private attributes.
        items = _channels_first(read.data) if hasattr(read, "data") else _attribute(read, "_image_files", "_images")
        parts[part] = items, _attribute(read, "targets", "labels", "_labels")
        if len(getattr(read, "classes", ())) == known.classes:
            names = list(read.classes)
    return parts, names


def _not_found(options: Dataset, why: str) -> OptionError:
    return OptionError(
        f"{place(options)}: {options.name} not found ({why}); set dataset.root to its folder, or dataset.download=true"
    )


def _attribute(read: Any, *names: str) -> Any:
    return next(getattr(read, name) for name in names if hasattr(read, name))


def _channels_first(images: Any) -> NDArray[np.uint8]:
    """(n, height, width), (n, height, width, 3) or (n, 3, height, width) → (n, channels, height, width)."""
    import numpy as np

    array = np.asarray(images)
    if array.ndim == 3:
        return array[:, None]
    return array if array.shape[1] == 3 else array.transpose(0, 3, 1, 2)
