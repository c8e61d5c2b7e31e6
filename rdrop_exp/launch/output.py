"""What the runner writes for people, which must not end a sweep when a disk is full."""

import contextlib
import errno
from collections.abc import Iterator
from typing import TextIO

FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


@contextlib.contextmanager
def tolerating_full_disk() -> Iterator[None]:
    """Ignore that something could not be written for want of space."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line at once."""
    with tolerating_full_disk():
        print(text, file=file, flush=True)
