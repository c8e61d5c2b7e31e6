"""Files cached between runs, such as decoded images, and a lock so that only one process makes them."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


def folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rdrop_exp"


def key(paths: list[str], *settings: object) -> str:
    """A hash of the files' names, sizes and modification times, and of the settings used to decode them."""
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
    for path in paths:
        status = os.stat(path)
        digest.update(f"{os.path.abspath(path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def cached_array(name: str, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The array cached under `name`, memory-mapped, or else that of `make`; an unusable cache is only a warning."""
    import numpy as np

    path = folder() / f"images-{name}.npy"
    with locked(path.with_suffix(".lock")):
        if path.exists():
            try:
                # Copy on write: torch needs a writable array; the file is unchanged and processes share its pages.
                cached: NDArray[np.uint8] = np.load(path, mmap_mode="c")
                return cached
            except (OSError, ValueError, EOFError) as error:
                log.warning("Cannot read cached images %s, decoding again: %s", path, error)
        array = make()
        try:
            write(path, lambda file: np.save(file, array))
        except OSError as error:
            log.warning("Cannot cache decoded images in %s: %s", path, error)
        return array


def write(path: Path, save: Callable[[IO[bytes]], object]) -> None:
    """Write a file atomically, with what `save` puts into it: no reader sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with open(handle, "wb") as file:
            save(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


@contextlib.contextmanager
def locked(path: Path, enabled: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on `path`; without effect where the system or file system cannot lock files."""
    with contextlib.ExitStack() as stack:
        if enabled:
            try:
                import fcntl

                path.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(path, "a"))
                fcntl.flock(file, fcntl.LOCK_EX)
            except (ImportError, OSError) as error:
                log.debug("no lock on %s: %s", path, error)
        yield
