"""A hash of the data that a trial is given, the same wherever the data lies."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

from rdrop_exp.config.canonical import USERS_FILES
from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.registry import DATA_SETS
from rdrop_exp.data import registered
from rdrop_exp.data.files import list_files
from rdrop_exp.data.listing import Listing

MANY_FILES = 200_000
"""From this number of files on, modification times are no part of the fingerprint."""
THREADS = 8
"""Threads that read files: more than cores, as network file systems answer slowly."""


def fingerprint(options: Dataset, listing: Listing | None = None) -> str:
    """12 hex digits that change with the files of the user's own data; the name of a published data set.

    quick: set, name, label, group and size of each file, and below 200,000 files their modification times.
    content: the bytes instead of size and time, all of which are read.
    """
    if options.name in DATA_SETS:
        return registered.read(options).fingerprint
    if options.name not in USERS_FILES:
        return options.name
    listing = listing or list_files(options)
    return _quick(listing) if options.fingerprint == "quick" else _content(listing)


def _quick(listing: Listing) -> str:
    digest = hashlib.blake2b(digest_size=6)
    with_times = sum(map(len, listing.items.values())) < MANY_FILES
    for part, items in listing.items.items():
        for path, *words in items:
            try:
                status = os.stat(path)
                size, time = status.st_size, status.st_mtime_ns if with_times else 0
            except OSError:  # a link to nowhere, for example, which the check will name
                size, time = -1, 0
            digest.update(repr((part, *words, size, time)).encode())
    return digest.hexdigest()


def _content(listing: Listing) -> str:
    digest = hashlib.blake2b(b"content", digest_size=6)
    with ThreadPoolExecutor(THREADS) as pool:
        for part, items in listing.items.items():
            for (_, *words), content in zip(items, pool.map(hash_file, [item.path for item in items]), strict=True):
                digest.update(repr((part, *words)).encode() + content)
    return digest.hexdigest()


def hash_file(path: str) -> bytes:
    """A hash of the file's bytes; empty if it cannot be read."""
    if not os.path.isfile(path):  # reading a named pipe would wait for ever
        return b""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError:
        return b""
