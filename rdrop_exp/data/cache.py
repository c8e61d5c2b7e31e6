"""Decoded images kept on disk between runs, and a lock that lets one of several processes do the work."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


def folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rdrop_exp"


def key(paths: list[str], *settings: object) -> str:
    """A hash of the files' names, sizes and times of change, and of the settings they are decoded with."""
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
    for path in paths:
        status = os.stat(path)
        digest.update(f"{os.path.abspath(path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def remember(name: str, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The array kept under `name`, memory-mapped, or a new one from `make`; a cache that fails is only a warning."""
    import numpy as np

    path = folder() / f"images-{name}.npy"
    with locked(path.with_suffix(".lock")):
        if path.exists():
            try:
                # Copy on write: torch wants a writable array, the file stays as it is and processes share its pages.
                kept: NDArray[np.uint8] = np.load(path, mmap_mode="c")
                return kept
            except (OSError, ValueError, EOFError) as error:
                log.warning("decoded images are made anew, for %s cannot be read: %s", path, error)
        array = make()
        try:
            _save(path, array)
        except OSError as error:
            log.warning("decoded images are not kept, for %s cannot be written: %s", path, error)
        return array


def _save(path: Path, array: NDArray[np.uint8]) -> None:
    """Write the whole file, then give it its name: no reader ever sees a part of it."""
    import numpy as np

    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with open(handle, "wb") as file:
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


@contextlib.contextmanager
def locked(path: Path, wanted: bool = True) -> Iterator[None]:
    """Keep other processes out of the same block meanwhile, where the system and the file system can lock files."""
    with contextlib.ExitStack() as stack:
        if wanted:
            try:
                import fcntl

                path.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(path, "a"))
                fcntl.flock(file, fcntl.LOCK_EX)
            except (ImportError, OSError) as error:
                log.debug("no lock on %s: %s", path, error)
        yield
