"""Data sets that plugins register: a function from the options to images and labels in memory."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.registry import DATA_SETS
from rdrop_exp.config.schema import OptionError, first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Registered(NamedTuple):
    parts: dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]
    """Set ("train", and "validation" and "test" where they are given) → images and classes."""
    names: list[str]
    """Of the classes."""
    fingerprint: str
    """12 hex digits that change with images, classes and names."""


def read(options: Dataset) -> Registered:
    """The data set, read once in a process; `OptionError` where its function fails or returns something else."""
    return _read(DATA_SETS[options.name], json.dumps(asdict(options)))


@functools.lru_cache(maxsize=1)
def _read(function: Callable[[Dataset], Any], values: str) -> Registered:
    import numpy as np

    options = Dataset(**json.loads(values))
    name = f"dataset.name={options.name}"
    try:
        given, names = function(options)
        parts = {part: (np.asarray(images), np.asarray(labels)) for part, (images, labels) in given.items()}
    except OptionError:
        raise
    except Exception as error:
        raise OptionError(f"{name} cannot be read: {type(error).__name__}: {first_line(error)}") from error
    if "train" not in parts or not set(parts) <= {"train", "validation", "test"}:
        raise OptionError(f"{name} has the sets {', '.join(parts)}: it needs train, and may have validation and test")
    digest = hashlib.blake2b(json.dumps(list(names)).encode(), digest_size=6)
    for part, (images, labels) in parts.items():
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            shape = f"{images.dtype} of shape {images.shape}"
            raise OptionError(
                f"{name}: the {part} images are {shape}, not uint8 (items, 1 or 3 channels, height, width)"
            )
        classes = np.issubdtype(labels.dtype, np.integer) and labels.shape == images.shape[:1]
        if not classes or not len(labels) or labels.min() < 0 or labels.max() >= len(names):
            raise OptionError(f"{name}: the {part} labels are not one whole number below {len(names)} for each image")
        for array in (images, labels.astype(np.int64)):
            digest.update(repr((part, array.shape)).encode())
            digest.update(array.tobytes())
    return Registered(parts, [str(each) for each in names], digest.hexdigest())
