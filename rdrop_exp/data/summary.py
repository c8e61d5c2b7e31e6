"""What was read, in one line and as counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.data.listing import counted, shortened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Sets = dict[str, NDArray[np.int64]]


def class_counts(labels: NDArray[np.int64], sets: Sets, names: list[str]) -> dict[str, dict[str, int]]:
    """Set → class → number of its images."""
    import numpy as np

    counts = {part: np.bincount(labels[items], minlength=len(names)) for part, items in sets.items()}
    return {part: dict(zip(names, map(int, counts[part]), strict=True)) for part in ("train", "validation", "test")}


def summarise(options: Dataset, names: list[str], sets: Sets, origins: dict[str, str]) -> str:
    """Such as `photos: 3 classes (cat, dog, owl), 312 train, 35 validation (10% of train), 80 test (folder test)`."""
    title, given = options.name, set(origins)
    if options.name in ("image_folder", "image_csv"):
        title = Path(options.root).expanduser().absolute().name
    kept = f" ({100 * options.fraction:.3g}% of it)" if options.fraction < 1 else ""
    origins = {
        "validation": f"{100 * options.validation:.3g}% of train",
        "test": f"{100 * options.test:.3g}% of all",
    } | origins
    words = [
        f"{len(names)} classes ({shortened(names)})",
        f"{len(sets['train']):,} train{kept}",
        *(f"{len(sets[part]):,} {part} ({origins[part]})" for part in ("validation", "test")),
    ]
    text = "; ".join([f"{title}: {', '.join(words)}", *ignored(options, given)])
    return text.encode(errors="replace").decode()  # file names may hold bytes that are no text


def ignored(options: Dataset, given: set[str]) -> list[str]:
    """Notes on shares of sets that the data has of its own."""
    plain = Dataset()
    return [
        f"ignored: dataset.{part} (the data has its own {part} set)"
        for part in ("validation", "test")
        if part in given and getattr(options, part) != getattr(plain, part)
    ]


def notes_on_copies(copies: list[list[int]], labels: NDArray[np.int64], sets: Sets, given: set[str]) -> list[str]:
    """Notes on files (positions) with the same bytes: of several classes, or across sets that are `given`."""
    place = {int(item): part for part, items in sets.items() for item in items}
    contradicting = sum(len(group) for group in copies if len(set(labels[group])) > 1)
    notes = [f"{counted(contradicting, 'image')} with an exact copy in another class"] if contradicting else []
    for part in ("validation", "test"):
        repeated = [item for group in copies for item in group if place.get(item) == part]
        trained = {item for group in copies if any(place.get(i) == "train" for i in group) for item in group}
        if part in given and (count := len(trained.intersection(repeated))):
            notes.append(f"{counted(count, f'{part} image')} also in train (same bytes)")
    return notes
