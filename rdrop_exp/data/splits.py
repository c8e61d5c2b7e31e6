"""Training, validation and test sets: a partition of all items, stratified by class and fixed by one seed."""

import numpy as np
from numpy.typing import NDArray

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.seeds import derive_seed

Ints = NDArray[np.int64]


def three_sets(labels: Ints, given: dict[str, Ints], options: Dataset, groups: Ints | None = None) -> dict[str, Ints]:
    """Positions of each set: those `given`; a missing test or validation set is split off the training set.

    Items of equal `groups` (items,) are split off together; None: each item is a group of its own.
    Each set is in a fixed random order, so that its first items are a sample of the classes. `dataset.fraction` of the
    training set is kept.
    """
    sets = {name: _random("order", name, options.split_seed).permutation(items) for name, items in given.items()}
    for name, share in (("test", options.test), ("validation", options.validation)):
        if name not in sets:
            sets["train"], sets[name] = _split_off(labels, sets["train"], share, name, options.split_seed, groups)
    train = sets["train"]
    place, height, _ = _strata(labels[train], "fraction", options.split_seed)
    sets["train"] = train[(place == 0) | (height < options.fraction)]
    return sets


def train_batches(items: int, batch_size: int, options: Dataset) -> tuple[int, int]:
    """Size and number of an epoch's batches of so many training images; an incomplete last batch is dropped."""
    size = min(batch_size, items)
    if options.mixup > 0 or options.cutmix > 0:  # these pair the images of a batch
        size -= size % 2
    return size, min(items // size, options.limit or items) if size else 0


def _split_off(labels: Ints, items: Ints, share: float, name: str, seed: int, groups: Ints | None) -> tuple[Ints, Ints]:
    """`items` without about `share` of each class (at least one stays), and these (at least one in total).

    With groups, the first item of each stands for all of them, so that these are shares of the groups.
    """
    _, first, group = np.unique(items if groups is None else groups[items], return_index=True, return_inverse=True)
    first = np.sort(first)  # in the order of `items`
    _, height, last = _strata(labels[items[first]], name, seed)
    leaves = (height < share) & ~last
    if not leaves.any():
        if last.all():
            what = "items" if groups is None else "images or groups of them"
            raise OptionError(f"dataset.{name}={share:g} cannot be split off {len(first)} {what}: no class has two")
        leaves[np.argmin(np.where(last, np.inf, height))] = True
    leaving = np.zeros(len(items), bool)
    leaving[first] = leaves
    if len(first) < len(items):
        by_group = np.zeros(group.max() + 1, bool)
        by_group[group[first[leaves]]] = True
        for label in np.unique(labels[items]):  # a class that only the leaving groups have stays with one of them
            of_class = labels[items] == label
            if by_group[group[of_class]].all():
                by_group[group[of_class][0]] = False
        leaving = by_group[group]
        if not leaving.any():
            raise OptionError(
                f"dataset.{name}={share:g} cannot be split off: each group holds the only images of a class"
            )
    return items[~leaving], items[leaving]


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
