"""One trial, one process: a locked file in the trial's folder says who runs it.

The kernel releases the lock when its holder dies, by whatever cause, so on one machine a lock is never stale and is
taken over by acquiring it again. Against other hosts a second lock holds beside it (`heartbeat`). The pid and host
written inside are for people only. A symbolic link in its place is refused (OSError): truncating its target would
destroy a file.
"""

import contextlib
import errno
import fcntl
import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from hydra_slots import heartbeat

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""How file systems say that they have no `flock`."""
_descriptors: set[int] = set()  # of the locks of this process


@contextlib.contextmanager
def lock(folder: str | os.PathLike[str]) -> Iterator[bool]:
    """Whether this process may run the trial in `folder`: False while a live process, or an outer lock, holds it.

    Creates the folder. The lock lasts until the `with` block ends or the process dies.
    """
    os.makedirs(folder, exist_ok=True)
    descriptor = _open(Path(folder) / heartbeat.NAME, os.O_RDWR | os.O_CREAT)
    _descriptors.add(descriptor)
    try:
        acquired, exact = _acquire(descriptor)
        if not acquired:
            yield False
            return
        with heartbeat.held(Path(folder), exact) as alone:
            if alone:
                with contextlib.suppress(OSError):  # on a full disk it locks all the same
                    os.truncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
            yield alone
    finally:
        if descriptor in _descriptors:
            _descriptors.discard(descriptor)
            os.close(descriptor)


def is_locked(folder: str | os.PathLike[str]) -> bool:
    """Whether some process runs the trial in `folder` at this moment."""
    try:
        descriptor = _open(Path(folder) / heartbeat.NAME, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        free, exact = _attempt(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)
    return not free or heartbeat.beats(Path(folder), exact)


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a symbolic link in the place of the lock file", str(path)) from None
        raise


def _acquire(descriptor: int) -> tuple[bool, bool]:
    """Take the lock, unless another holds it; `is_locked` shares it for microseconds, which is waited out.

    The second value as of `_attempt`.
    """
    for _ in range(1000):
        taken, exact = _attempt(descriptor, fcntl.LOCK_EX)
        if taken:
            return True, exact
        if not _attempt(descriptor, fcntl.LOCK_SH)[0]:
            return False, True
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(random.uniform(0, 0.002))
    return False, True


def _attempt(descriptor: int, operation: int) -> tuple[bool, bool]:
    """Whether the lock is this process's now, and whether the file system has such locks at all."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False, True
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return True, False
    return True, True


def _release_in_child() -> None:
    """Without it a forked data loader that outlives its killed trial would keep the lock."""
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


os.register_at_fork(after_in_child=_release_in_child)
