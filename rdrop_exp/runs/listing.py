"""The names in an experiment's folder, read once for all the trials of a plan."""

import bisect
import os
import time
from collections import defaultdict
from pathlib import Path

SETTLED = 3.0
"""Seconds after which a folder's time of change tells it from any later state, on whatever file system."""


class Listing:
    """Names, sorted."""

    def __init__(self, names: list[str]) -> None:
        self.names = sorted(names)
        self._of_identity: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            if "-" in name:
                self._of_identity[name.rpartition("-")[2]].append(name)

    def of_identity(self, identity: str) -> list[str]:
        """Names that end in a hyphen and the identity."""
        return self._of_identity.get(identity, [])

    def beginning(self, start: str) -> list[str]:
        """Names that begin with a text."""
        first = bisect.bisect_left(self.names, start)
        last = first
        while last < len(self.names) and self.names[last].startswith(start):
            last += 1
        return self.names[first:last]


_known: dict[str, tuple[int, Listing]] = {}


def listing(folder: Path) -> Listing:
    """What is in a folder now; empty where there is none."""
    try:
        changed, path = os.stat(folder).st_mtime_ns, os.path.abspath(folder)
        if path in _known and _known[path][0] == changed:
            return _known[path][1]
        found, now = Listing(os.listdir(folder)), time.time()
    except OSError:
        return Listing([])
    if now - changed / 1e9 > SETTLED:
        _known[path] = changed, found
    return found
