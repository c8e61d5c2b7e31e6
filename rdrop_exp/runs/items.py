"""items.npz: how a trial did on each validation and test item; generated.jsonl: the texts that it generated.

Importing this needs neither torch nor numpy.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_slots.protocol import atomic_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME, GENERATED = "items.npz", "generated.jsonl"
SETS = ("val", "test")
COUNT = "_count"
"""Ends the name of a set's number of items, which packed bits do not tell."""


def write_items(folder: Path, items: Mapping[str, NDArray[Any]]) -> None:
    """Write the (items,) values of each set: bool as packed bits, others as float32."""
    import numpy as np

    arrays: dict[str, NDArray[Any]] = {}
    for name, values in items.items():
        if values.dtype == bool:
            arrays |= {name: np.packbits(values), name + COUNT: np.array(len(values))}
        else:
            arrays[name] = values.astype(np.float32)
    buffer = io.BytesIO()  # zipfile does not end cleanly where a write fails
    np.savez(buffer, allow_pickle=False, **arrays)
    with atomic_file(folder / NAME, "wb") as file:
        file.write(buffer.getvalue())


def read_items(folder: str | Path) -> dict[str, NDArray[Any]]:
    """The (items,) values of "val" and "test", in the order of the set: bool (correct or not) or float32.

    Empty where items.npz is missing, as in trials of earlier versions, or damaged.
    """
    import numpy as np

    try:
        with np.load(io.BytesIO((Path(folder) / NAME).read_bytes()), allow_pickle=False) as stored:
            found = {name: _unpacked(stored[name], stored.get(name + COUNT)) for name in SETS if name in stored}
    except Exception:  # whatever numpy and zipfile raise on a file that anyone may have written
        return {}
    return found if all(values.ndim == 1 and values.dtype in (bool, np.float32) for values in found.values()) else {}


def write_generated(folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write a line of JSON for each row, in UTF-8; no file where nothing was generated."""
    if rows:
        with atomic_file(folder / GENERATED) as file:
            file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _unpacked(values: NDArray[Any], count: NDArray[Any] | None) -> NDArray[Any]:
    import numpy as np

    if count is None:
        return values
    if (int(count) + 7) // 8 != len(values):
        raise ValueError("the number of items is not that of the bits")
    return np.unpackbits(values, count=int(count)).astype(bool)
