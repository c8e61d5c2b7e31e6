"""Every data set by name: its labels, its images or files, and the positions of its three sets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from rdrop_exp.config.canonical import USERS_FILES
from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.registry import DATA_SETS
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.data import registered
from rdrop_exp.data.check import Checked, check_files
from rdrop_exp.data.files import READERS, list_files
from rdrop_exp.data.listing import class_names, joined
from rdrop_exp.data.pixels import Decoder, decoder
from rdrop_exp.data.published import TORCHVISION, TorchvisionSet, check_torchvision, read_digits, read_torchvision
from rdrop_exp.data.summary import class_counts, notes_on_copies, summarise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


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


class Preview(NamedTuple):
    summary: str
    """What was read, in one line."""
    fingerprint: str
    classes: int = 0
    """0: not known without reading more."""
    channels: int = 3
    size: int | None = None
    """Side of the images; None: not known, or there are none."""
    train: int = 0
    """Training images; 0: not known, or there are none."""


def load(options: Dataset) -> Source:
    """The data set that the options name, split by the split options; `OptionError` if it is missing or unusable."""
    if options.name in DATA_SETS:
        parts, names, fingerprint = registered.read(options)
        return replace(_source(options, parts, names, None, dict.fromkeys(parts, "given")), fingerprint=fingerprint)
    if options.name not in NAMES:
        raise OptionError(f"dataset.name={options.name} is not a data set{nearest(options.name, NAMES)}")
    if options.name in READERS:
        return _from_files(options)
    if options.name == "digits":
        return _source(options, {"train": read_digits()}, [str(digit) for digit in range(10)])
    parts, names = read_torchvision(options)
    return _source(options, parts, names, TORCHVISION[options.name], dict.fromkeys(parts, "published split"))


def preview(options: Dataset) -> Preview:
    """Check that the data set can be read and say what it holds, without importing torch; `OptionError` as `load`."""
    if options.name in TORCHVISION:
        check_torchvision(options)
        known = TORCHVISION[options.name]
        summary, channels = f"{options.name}: {known.classes} classes", len(known.mean or "RGB")
        size, train = options.image_size or known.size, _published_train(options, known)
        return Preview(summary, options.name, known.classes, channels, size, train)
    source = load(options)
    size = options.image_size or (None if source.images is None else source.images.shape[-1])
    train = len(source.sets["train"])
    return Preview(source.summary, source.fingerprint, source.classes, source.channels, size, train)


def _published_train(options: Dataset, known: TorchvisionSet) -> int:
    """Training images of a published set, by the sizes of its classes; 0 where these are not known."""
    import numpy as np

    from rdrop_exp.data.splits import three_sets

    if not known.train:
        return 0
    counts = known.train * known.classes if len(known.train) == 1 else known.train
    labels = np.repeat(np.arange(known.classes), counts)
    empty = {part: np.arange(0) for part in known.parts if part != "train"}
    return len(three_sets(labels, {"train": np.arange(len(labels)), **empty}, options)["train"])


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
    copy_notes = notes_on_copies(copies, source.labels, source.sets, set(parts))
    summary = "; ".join([source.summary, *listing.notes, *copy_notes])
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
