"""Every data set by name: its labels, its images or files, and the positions of its three sets."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdrop_exp.config.options import Dataset
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.data import cache, files
from rdrop_exp.data.pixels import Decoder, decoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@dataclass(frozen=True, slots=True)
class TorchvisionSet:
    """A data set that torchvision reads."""

    reader: str
    """Its class in torchvision.datasets."""
    parts: dict[str, dict[str, Any]]
    """Set → arguments of the class; a set without an entry is split off."""
    classes: int
    mean: list[float] | None = None
    std: list[float] | None = None
    """Of the training images in 0..1."""


_FLAG: dict[str, dict[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
_SPLIT: dict[str, dict[str, Any]] = {"train": {"split": "train"}, "test": {"split": "test"}}
TORCHVISION = {
    "mnist": TorchvisionSet("MNIST", _FLAG, 10, [0.1307], [0.3081]),
    "fashion_mnist": TorchvisionSet("FashionMNIST", _FLAG, 10, [0.2860], [0.3530]),
    "cifar10": TorchvisionSet("CIFAR10", _FLAG, 10, [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    "cifar100": TorchvisionSet("CIFAR100", _FLAG, 100, [0.5071, 0.4866, 0.4409], [0.2673, 0.2564, 0.2762]),
    "svhn": TorchvisionSet("SVHN", _SPLIT, 10, [0.4377, 0.4438, 0.4728], [0.1980, 0.2010, 0.1970]),
    "stl10": TorchvisionSet("STL10", _SPLIT, 10, [0.4467, 0.4398, 0.4066], [0.2603, 0.2566, 0.2713]),
    "flowers102": TorchvisionSet("Flowers102", {**_SPLIT, "validation": {"split": "val"}}, 102),
    "pets": TorchvisionSet("OxfordIIITPet", {"train": {"split": "trainval"}, "test": {"split": "test"}}, 37),
    "food101": TorchvisionSet("Food101", _SPLIT, 101),
}
LAYOUTS = {"imagenet": files.imagenet, "image_folder": files.image_folder, "image_csv": files.image_csv}
NAMES = ("digits", *TORCHVISION, *LAYOUTS)


@dataclass(frozen=True, slots=True)
class Source:
    """All items of a data set, as `images` or as `paths`; the other is None."""

    labels: NDArray[np.int64]
    """(items,) class of each."""
    sets: dict[str, NDArray[np.int64]]
    """Positions of the "train", "validation" and "test" items, disjoint."""
    classes: int
    channels: int
    images: NDArray[np.uint8] | None
    """(items, channels, height, width)."""
    paths: list[str] | None
    """One file per item."""
    mean: list[float] | None
    std: list[float] | None
    """Published values per channel, of images in 0..1; None: not published."""
    decoder: Decoder = field(default_factory=Decoder)
    """Reads `paths`."""

    def picture(self, item: int) -> Image:
        """One image, grey (L) or RGB; `OptionError` with the file's name if it cannot be read."""
        if self.images is None:
            assert self.paths is not None
            return self.decoder.read(self.paths[item])
        import numpy as np
        from PIL import Image

        image = self.images[item]
        return Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))


def load(options: Dataset) -> Source:
    """The data set that the options name, split by the split options; `OptionError` if it is missing or unusable."""
    import numpy as np

    from rdrop_exp.data.splits import three_sets

    if options.name not in NAMES:
        raise OptionError(f"dataset.name={options.name} is not a data set{nearest(options.name, NAMES)}")
    known = TORCHVISION.get(options.name, TorchvisionSet("", {}, 0))
    classes = known.classes
    if options.name == "digits":
        parts, classes = {"train": _digits()}, 10
    elif options.name in TORCHVISION:
        parts = _torchvision(known, options)
    else:
        rows = LAYOUTS[options.name](options)
        index = {name: i for i, name in enumerate(files.class_names(rows))}
        classes = len(index)
        parts = {p: ([path for path, _ in items], [index[name] for _, name in items]) for p, items in rows.items()}
    ends = np.cumsum([len(labels) for _, labels in parts.values()])
    given = {part: np.arange(end - len(parts[part][1]), end) for part, end in zip(parts, ends, strict=True)}
    labels = np.concatenate([np.asarray(labels, np.int64) for _, labels in parts.values()])
    items = [items for items, _ in parts.values()]
    images = np.concatenate(items) if isinstance(items[0], np.ndarray) else None
    paths = None if images is not None else [str(path) for part in items for path in part]
    channels = 3 if images is None else images.shape[1]
    sets = three_sets(labels, given, options)
    reader = decoder(options, channels)
    return Source(labels, sets, classes, channels, images, paths, known.mean, known.std, reader)


def _digits() -> tuple[Any, Any]:
    """scikit-learn's 8×8 digits as uint8, from its file: importing scikit-learn takes longer than reading that."""
    import numpy as np

    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise OptionError("dataset.name=digits needs scikit-learn: pip install scikit-learn")
    table = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    pixels = np.round(table[:, :-1] * 255 / 16).astype(np.uint8)  # 0..16 in the file
    return pixels.reshape(-1, 1, 8, 8), table[:, -1]


def _torchvision(known: TorchvisionSet, options: Dataset) -> dict[str, tuple[Any, Any]]:
    """Set → (images or paths, labels) as torchvision reads them."""
    from torchvision import datasets

    root = Path(options.root).expanduser()
    parts = {}
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
            raise OptionError(
                f"dataset.root={options.root}: {options.name} not found in {root.absolute()} ({why}); set"
                " dataset.root to its folder, or dataset.download=true"
            ) from error
        # torchvision's readers of photographs have no public list of files, hence the private attributes.
        items = _channels_first(read.data) if hasattr(read, "data") else _attribute(read, "_image_files", "_images")
        parts[part] = items, _attribute(read, "targets", "labels", "_labels")
    return parts


def _attribute(read: Any, *names: str) -> Any:
    return next(getattr(read, name) for name in names if hasattr(read, name))


def _channels_first(images: Any) -> NDArray[np.uint8]:
    """(n, height, width), (n, height, width, 3) or (n, 3, height, width) → (n, channels, height, width)."""
    import numpy as np

    array = np.asarray(images)
    if array.ndim == 3:
        return array[:, None]
    return array if array.shape[1] == 3 else array.transpose(0, 3, 1, 2)
