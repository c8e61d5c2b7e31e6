"""Training, validation and test sets: a partition of all items, stratified by class and fixed by one seed."""

import numpy as np
from numpy.typing import NDArray

from rdrop_exp.config.options import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.seeds import derive_seed

Ints = NDArray[np.int64]


def three_sets(labels: Ints, given: dict[str, Ints], options: Dataset) -> dict[str, Ints]:
    """Positions of each set: those `given`; a missing test or validation set is split off the training set.

    Each set is in a fixed random order, so that its first items are a sample of the classes. `dataset.fraction` of the
    training set is kept.
    """
    sets = {name: _random("order", name, options.split_seed).permutation(items) for name, items in given.items()}
    for name, share in (("test", options.test), ("validation", options.validation)):
        if name not in sets:
            sets["train"], sets[name] = _split_off(labels, sets["train"], share, name, options.split_seed)
    train = sets["train"]
    place, height, _ = _strata(labels[train], "fraction", options.split_seed)
    sets["train"] = train[(place == 0) | (height < options.fraction)]
    return sets


def _split_off(labels: Ints, items: Ints, share: float, name: str, seed: int) -> tuple[Ints, Ints]:
    """`items` without about `share` of each class (at least one stays), and these (at least one in total)."""
    _, height, last = _strata(labels[items], name, seed)
    leaves = (height < share) & ~last
    if not leaves.any():
        if last.all():
            raise OptionError(
                f"dataset.{name}={share:g} cannot be split off {len(items)} images: every class has only one"
            )
        leaves[np.argmin(np.where(last, np.inf, height))] = True
    return items[~leaves], items[leaves]


def _strata(labels: Ints, name: str, seed: int) -> tuple[Ints, NDArray[np.float64], NDArray[np.bool_]]:
    """Each item's place 0, 1, … in a random order of its class, its height (that place as a share of the class), and
    whether it is the last.

    Heights below s are floor or ceiling of s × the class's size, and more of the same items as s grows. Their offsets
    (0..1 within a place) are spread evenly over the classes, so that the total comes out near s of all items too.
    """
    random = _random("strata", name, seed)
    order = random.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    _, counts = np.unique(labels, return_counts=True)
    offsets = (random.permutation(len(counts)) + 0.5) / len(counts)
    size = np.repeat(counts, counts)
    ordered = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    back = np.argsort(order)
    return ordered[back], ((ordered + np.repeat(offsets, counts)) / size)[back], (ordered == size - 1)[back]


def _random(*name: str | int) -> np.random.RandomState:
    """numpy's legacy generator: its stream is frozen, so splits are the same in every version of numpy."""
    return np.random.RandomState(derive_seed(*name) % 2**32)
