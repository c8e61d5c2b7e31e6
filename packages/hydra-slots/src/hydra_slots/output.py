"""What the runner writes for people, which must not end a sweep when a disk is full or a reader has gone."""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console

FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


@contextlib.contextmanager
def tolerating_lost_output() -> Iterator[None]:
    """Ignore that something could not be written for want of space, or of a reader."""
    try:
        yield
    except BrokenPipeError:  # `| head` has seen enough: the sweep goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise


class SweepConsole(Console):
    """A console that leaves a closed pipe to `tolerating_lost_output`; rich would end the process."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line at once."""
    with tolerating_lost_output():
        print(text, file=file, flush=True)


class Progress:
    """How far something long has got, on one line of a terminal; nothing elsewhere, nor in the first second."""

    def __init__(self, total: int, what: str = "planned") -> None:
        self.total, self.what, self.shown = total, what, False
        self.next = time.monotonic() + 1

    def say(self, done: int) -> None:
        if done % 100 == 0 and time.monotonic() >= self.next and sys.stderr.isatty():
            self.next, self.shown = time.monotonic() + 0.5, True
            with tolerating_lost_output():
                print(f"\r{done:,} of {self.total:,} {self.what}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Remove the line."""
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
