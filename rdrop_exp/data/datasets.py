"""Every data set by name: its labels, its images or files, and the positions of its three sets."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdrop_exp.config.options import Dataset
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.data import cache
from rdrop_exp.data.check import Checked, check_files
from rdrop_exp.data.files import READERS, USERS_FILES, list_files
from rdrop_exp.data.listing import class_names, joined
from rdrop_exp.data.pixels import Decoder, decoder
from rdrop_exp.data.summary import class_counts, copies_across, summarise

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
NAMES = ("digits", *TORCHVISION, *READERS)


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
    summary: str = ""
    """What was read, in one line."""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Set → class → number of images."""
    fingerprint: str = ""
    """Of the user's own files, or the name of a published data set."""

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
    if options.name not in NAMES:
        raise OptionError(f"dataset.name={options.name} is not a data set{nearest(options.name, NAMES)}")
    if options.name in READERS:
        return _from_files(options)
    if options.name == "digits":
        return _source(options, {"train": _digits()}, [str(digit) for digit in range(10)])
    known = TORCHVISION[options.name]
    parts, names = _torchvision(known, options)
    return _source(options, parts, names, known, dict.fromkeys(parts, "published split"))


def _from_files(options: Dataset) -> Source:
    """Images in folders or listed in a table; the user's own are checked first."""
    import numpy as np

    checked = check_files(options) if options.name in USERS_FILES else Checked(list_files(options), options.name, [])
    listing = checked.listing
    names = class_names(listing)
    index = {name: i for i, name in enumerate(names)}
    parts = {part: ([i.path for i in items], [index[i.label] for i in items]) for part, items in listing.items.items()}
    items = [item for part in listing.items.values() for item in part]
    positions = {item.name: i for i, item in enumerate(items)}
    copies = [[positions[name] for name in group if name in positions] for group in checked.copies]
    groups = np.asarray(joined([item.group for item in items], copies))
    source = _source(options, parts, names, None, listing.origins, groups)
    leaks = copies_across(copies, source.sets, set(parts))
    summary = "; ".join([source.summary, *listing.notes, *leaks])
    return replace(source, summary=summary, fingerprint=checked.fingerprint)


def _source(
    options: Dataset,
    parts: dict[str, tuple[Any, Any]],
    names: list[str],
    known: TorchvisionSet | None = None,
    origins: dict[str, str] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> Source:
    """The parts (set → images or paths, labels) as one, and split."""
    import numpy as np

    from rdrop_exp.data.splits import three_sets

    ends = np.cumsum([len(labels) for _, labels in parts.values()])
    given = {part: np.arange(end - len(parts[part][1]), end) for part, end in zip(parts, ends, strict=True)}
    labels = np.concatenate([np.asarray(labels, np.int64) for _, labels in parts.values()])
    items = [items for items, _ in parts.values()]
    images = np.concatenate(items) if isinstance(items[0], np.ndarray) else None
    channels = 3 if images is None else images.shape[1]
    sets = three_sets(labels, given, options, groups)
    return Source(
        labels=labels,
        sets=sets,
        classes=len(names),
        channels=channels,
        images=images,
        paths=None if images is not None else [str(path) for part in items for path in part],
        mean=known.mean if known else None,
        std=known.std if known else None,
        decoder=decoder(options, channels),
        summary=summarise(options, names, sets, origins or {}),
        counts=class_counts(labels, sets, names),
        fingerprint=options.name,
    )


def _digits() -> tuple[Any, Any]:
    """scikit-learn's 8×8 digits as uint8, from its file: importing scikit-learn takes longer than reading that."""
    import numpy as np

    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise OptionError("dataset.name=digits needs scikit-learn: pip install scikit-learn")
    table = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    pixels = np.round(table[:, :-1] * 255 / 16).astype(np.uint8)  # 0..16 in the file
    return pixels.reshape(-1, 1, 8, 8), table[:, -1]


def _torchvision(known: TorchvisionSet, options: Dataset) -> tuple[dict[str, tuple[Any, Any]], list[str]]:
    """Set → (images or paths, labels) as torchvision reads them, and the names of the classes."""
    from torchvision import datasets

    root = Path(options.root).expanduser()
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
            raise OptionError(
                f"dataset.root={options.root}: {options.name} not found in {root.absolute()} ({why}); set"
                " dataset.root to its folder, or dataset.download=true"
            ) from error
        # torchvision's readers of photographs have no public list of files, hence the private attributes.
        items = _channels_first(read.data) if hasattr(read, "data") else _attribute(read, "_image_files", "_images")
        parts[part] = items, _attribute(read, "targets", "labels", "_labels")
        if len(getattr(read, "classes", ())) == known.classes:
            names = list(read.classes)
    return parts, names


def _attribute(read: Any, *names: str) -> Any:
    return next(getattr(read, name) for name in names if hasattr(read, name))


def _channels_first(images: Any) -> NDArray[np.uint8]:
    """(n, height, width), (n, height, width, 3) or (n, 3, height, width) → (n, channels, height, width)."""
    import numpy as np

    array = np.asarray(images)
    if array.ndim == 3:
        return array[:, None]
    return array if array.shape[1] == 3 else array.transpose(0, 3, 1, 2)
