"""Locks between hosts that share a folder: numbered records, of which only the highest counts.

`flock` is exact on one machine, but not between clients of NFS version 3, nor on every mounted object store. So the
process that runs a trial also creates the record `claim.N`, exclusively and with N one above the highest there is,
touches it every BEAT seconds, and sets its time to 0 at the end. A process of another host may create `claim.N+1` as
soon as record N is released or has missed MISSED beats; of several that try, one creates it. A holder that was slow
finds the higher record at its next beat, and ends. Times are compared on the file server's clock alone.
"""

import contextlib
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from hydra_slots.output import FULL_DISK

NAME = "claim"
BEAT = 30.0
"""Seconds between beats."""
MISSED = 3
"""Beats after whose absence a host counts as dead."""
RECORD = re.compile(rf"{NAME}\.(\d+)")


def this_host() -> str:
    """What tells this running kernel, within which `flock` is exact, from any other."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


HOST = this_host()


def newest(folder: Path) -> int:
    """Number of the record that counts; 0 where there is none."""
    return max(numbers(folder), default=0)


def numbers(folder: Path) -> list[int]:
    return [int(match[1]) for name in os.listdir(folder) if (match := RECORD.fullmatch(name))]


def beats(folder: Path, exact: bool) -> bool:
    """Whether a process of another host, or with `exact` false of any, runs the trial.

    `exact`: `flock` has said that none of this host does.
    """
    path = folder / f"{NAME}.{newest(folder)}"
    try:
        touched, host = path.stat().st_mtime, path.read_text().partition(" ")[0]
    except FileNotFoundError:  # none, or replaced at this moment by a higher one
        return newest(folder) > 0
    return touched > 0 and not (exact and host == HOST) and server_time(folder) - touched <= MISSED * BEAT


def server_time(folder: Path) -> float:
    """The present time on the clock by which files of the folder are dated."""
    os.utime(folder / NAME)
    return (folder / NAME).stat().st_mtime


class Record(threading.Thread):
    """The record of this process, touched until `release`."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(daemon=True, name="heartbeat")
        self.folder, self.number, self.path = folder, number, folder / f"{NAME}.{number}"
        self.released, self.process = threading.Event(), os.getpid()

    def run(self) -> None:
        while not self.released.wait(BEAT):
            with contextlib.suppress(OSError):  # a server that is away for a moment
                if newest(self.folder) > self.number:
                    print(f"{self.folder} was taken over by another host: this process has not", file=sys.stderr)
                    print(f"shown any sign of life for {MISSED * BEAT:g} s, and ends now", file=sys.stderr, flush=True)
                    os._exit(75)
                os.utime(self.path)

    def release(self) -> None:
        if os.getpid() != self.process:  # a forked child that leaves the block
            return
        self.released.set()
        self.join()
        with contextlib.suppress(OSError):
            os.utime(self.path, (0, 0))


@contextlib.contextmanager
def held(folder: Path, exact: bool) -> Iterator[bool]:
    """Whether this process holds the folder against all other hosts, until the block ends."""
    try:
        record = take(folder, exact)
    except OSError as error:
        if not exact or error.errno not in FULL_DISK:
            raise
        yield True  # `flock` holds on a full disk, as far as it reaches
        return
    if record is None:
        yield False
        return
    record.start()
    try:
        yield True
    finally:
        record.release()


def take(folder: Path, exact: bool) -> Record | None:
    """The record by which this process holds the folder; None where another one does."""
    if beats(folder, exact):
        return None
    record = Record(folder, newest(folder) + 1)
    try:
        descriptor = os.open(record.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return None
    with contextlib.suppress(OSError), os.fdopen(descriptor, "w") as file:
        file.write(f"{HOST} {os.getpid()} {socket.gethostname()}\n")
    if newest(folder) != record.number:  # by a look at the folder that had been overtaken
        return None
    for number in numbers(folder):
        if number < record.number:
            (folder / f"{NAME}.{number}").unlink(missing_ok=True)
    return record
