"""Every image file opened once before training: what cannot be read, and which files are the same."""

import hashlib
import json
import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data import cache
from rdrop_exp.data.files import list_files
from rdrop_exp.data.fingerprint import THREADS, fingerprint, hash_file
from rdrop_exp.data.listing import Item, Listing, counted, place, shortened
from rdrop_exp.data.pixels import Decoder, decoder, reason
from rdrop_exp.data.size_check import check_sizes

log = logging.getLogger(__name__)

SMALL = 128 * 128
"""Pixels up to which an image is decoded in full: that takes about as long as opening it."""
EDGE = 4096
"""Bytes at the start and at the end of a file that are read of larger ones."""
DECODE_ALL = 100_000_000
"""Bytes of all files up to which each is decoded in full, in a second or two."""
DECODE_PIXELS = 25_000_000
"""But not larger images than this: several are decoded at a time."""
BLOCK = 64
VERSION = 2

Progress = Callable[[int, int], None]
"""Called with the number of files that are done, and of all."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The files to use, and what is known about them."""

    listing: Listing
    fingerprint: str
    copies: list[list[str]]
    """Names of files with the same bytes, group by group."""


def check_files(options: Dataset, progress: Progress | None = None) -> Checked:
    """List the files of an image_folder or image_csv and check that each can be read, as `dataset.broken` decides.

    Small images are decoded, of larger ones the start and end are read. The outcome is cached by the fingerprint.
    """
    reader, listing = decoder(options), list_files(options)
    data = fingerprint(options, listing)
    items = [item for part in listing.items.values() for item in part]
    path = cache.folder() / f"check-{data}-{VERSION}-{reader.max_pixels}.json"
    with cache.locked(path.with_suffix(".lock")):
        outcome = _load(path)
        # A file can become readable without being changed: by other permissions, or once its disk is back.
        if outcome is None or any(
            not _examine(item.path, reader)[0] for item in items if item.name in outcome["broken"]
        ):
            outcome = _examine_all(items, reader, progress or _print_progress())
            _store(path, outcome)
    if outcome["broken"]:
        listing = _without_broken(options, listing, outcome["broken"], len(items))
    if options.resident and outcome["sizes"]:
        paths = {item.name: item.path for item in items}
        count = sum(map(len, listing.items.values()))
        check_sizes(options, count, [(width, height, paths[name]) for width, height, name in outcome["sizes"]])
    return Checked(listing, data, outcome["copies"])


def _without_broken(options: Dataset, listing: Listing, broken: dict[str, str], total: int) -> Listing:
    first = next(item for part in listing.items.values() for item in part if item.name in broken)
    if options.broken == "error":
        raise OptionError(
            f"{place(options)}: cannot read {len(broken)} of {total} images, such as {first.path}"
            f" ({broken[first.name]}); replace or remove them, or set dataset.broken=skip"
        )
    kept = {part: [item for item in items if item.name not in broken] for part, items in listing.items.items()}
    before, after = ({item.label for items in each.values() for item in items} for each in (listing.items, kept))
    if before - after:
        raise OptionError(
            f"{place(options)}: no image of class {shortened(sorted(before - after))} can be read, such as"
            f" {first.path} ({broken[first.name]})"
        )
    for part, items in kept.items():
        if not items:
            raise OptionError(
                f"{place(options)}: no image of the {part} set can be read, such as {first.path} ({broken[first.name]})"
            )
    note = f"{counted(len(broken), 'unreadable image')} skipped ({shortened(sorted(broken), 3)})"
    return Listing(kept, listing.origins, [*listing.notes, note])


def _store(path: Path, outcome: dict[str, Any]) -> None:
    try:
        cache.write(path, lambda file: file.write(json.dumps(outcome).encode()))
    except OSError as error:
        log.warning("Cannot cache the check of the image files in %s: %s", path, error)


def _load(path: Path) -> dict[str, Any] | None:
    try:
        outcome: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return outcome


def _examine_all(items: list[Item], reader: Decoder, progress: Progress) -> dict[str, Any]:
    """`broken`: name → what is wrong; `copies`: names of equal files; `sizes`: the first two sizes, with names."""
    broken: dict[str, str] = {}
    alike: dict[bytes, list[Item]] = defaultdict(list)
    sizes: dict[tuple[int, int], str] = {}
    thorough = sum(os.path.getsize(item.path) for item in items if os.path.isfile(item.path)) <= DECODE_ALL
    blocks = [items[i : i + BLOCK] for i in range(0, len(items), BLOCK)]
    done = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for block, results in zip(
            blocks, pool.map(lambda b: [_examine(i.path, reader, thorough) for i in b], blocks), strict=True
        ):
            for item, (problem, edges, size) in zip(block, results, strict=True):
                if problem:
                    broken[item.name] = problem
                    continue
                alike[edges].append(item)
                if len(sizes) < 2:
                    sizes.setdefault(size, item.name)
            done += len(block)
            progress(done, len(items))
        copies: dict[bytes, list[str]] = defaultdict(list)
        same_edges = [item for group in alike.values() if len(group) > 1 for item in group]
        for item, content in zip(same_edges, pool.map(lambda item: hash_file(item.path), same_edges), strict=True):
            copies[content].append(item.name)
    return {
        "broken": broken,
        "copies": [names for names in copies.values() if len(names) > 1],
        "sizes": [(*size, name) for size, name in sizes.items()],
    }


def _examine(path: str, reader: Decoder, thorough: bool = True) -> tuple[str, bytes, tuple[int, int]]:
    """What is wrong with the file (empty: nothing), a hash of its length and edges, and its width and height."""
    if os.path.exists(path) and not os.path.isfile(path):  # reading a named pipe would wait for ever
        return "not a regular file", b"", (0, 0)
    try:
        with open(path, "rb") as file:
            head = file.read(EDGE)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(len(head), size - EDGE))
            tail = file.read()
            if size == 0:
                return "empty file", b"", (0, 0)
            file.seek(0)
            with Image.open(file) as image:
                reader.prepare(image)
                shape = image.size
                small = image.width * image.height <= (DECODE_PIXELS if thorough else SMALL)
                if small or not _is_complete(image, head, head + tail, size):
                    image.load()
    except Exception as error:  # whatever Pillow's readers raise on malformed files
        return reason(error), b"", (0, 0)
    return "", hashlib.blake2b(head + tail + size.to_bytes(8, "little"), digest_size=16).digest(), shape


def _is_complete(image: Image.Image, head: bytes, end: bytes, size: int) -> bool:
    """Whether the file's end shows that it is not cut off; False: it may be, or its format does not show it."""
    match image.format:
        case "JPEG":
            return end.rstrip(b"\0\r\n ").endswith(b"\xff\xd9")
        case "PNG":
            return end.endswith(b"IEND\xaeB`\x82")
        case "GIF":
            return end.rstrip(b"\0").endswith(b";")
        case "WEBP":
            return int.from_bytes(head[4:8], "little") + 8 <= size
        case "BMP":
            return 0 < int.from_bytes(head[2:6], "little") <= size
        case "TIFF":
            tags = image.tag_v2  # type: ignore[attr-defined]
            offsets, lengths = (tags.get(strips) or tags.get(tiles) or () for strips, tiles in ((273, 324), (279, 325)))
            return bool(offsets) and all(sum(part) <= size for part in zip(offsets, lengths, strict=False))
    return False


def _print_progress() -> Progress:
    """Shows progress on a terminal, once it has taken a second."""
    start = time.monotonic()

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty() and time.monotonic() - start > 1:
            end = "\n" if done == total else ""
            print(f"\rChecking image files: {done:,} of {total:,}", end=end, file=sys.stderr, flush=True)

    return show
