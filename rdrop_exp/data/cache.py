"""Files cached between runs, such as decoded images, and a lock so that only one process makes them."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

T = TypeVar("T")


def folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rdrop_exp"


def key(paths: list[str], *settings: object) -> str:
    """A hash of the files' names, sizes and modification times, and of the settings used to decode them."""
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
    for path in paths:
        status = os.stat(path)
        digest.update(f"{os.path.abspath(path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def of_texts(*lists: list[str]) -> str:
    """A hash of lists of texts."""
    digest = hashlib.blake2b(digest_size=16)
    for texts in lists:
        lengths = ",".join(map(str, map(len, texts)))
        digest.update(f"{lengths}\n".encode() + "".join(texts).encode(errors="surrogatepass"))
    return digest.hexdigest()


def cached_array(name: str, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The images cached under `name`, memory-mapped, or else those of `make`."""
    import numpy as np

    # Copy on write: torch needs a writable array; the file is unchanged and processes share its pages.
    return cached(f"images-{name}.npy", "images", lambda path: np.load(path, mmap_mode="c"), make, np.save)


def cached(
    name: str, what: str, load: Callable[[Path], T], make: Callable[[], T], save: Callable[[IO[bytes], T], object]
) -> T:
    """What `load` reads from the file cached under `name`, or else what `make` returns, saved there.

    An unusable cache is only a warning, which says `what` is meant. One process at a time makes it.
    """
    path = folder() / name
    with locked(path.with_suffix(".lock")):
        if path.exists():
            try:
                return load(path)
            except Exception as error:  # whatever the readers of numpy, zip files and tokenizers raise
                log.warning("Cannot read cached %s %s, which are made again: %s", what, path, error)
        value = make()
        try:
            write(path, lambda file: save(file, value))
        except OSError as error:
            log.warning("Cannot cache %s in %s: %s", what, path, error)
        return value


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
