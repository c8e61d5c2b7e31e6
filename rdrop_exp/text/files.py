"""Lines of a text file that anyone may have written, plain or gzipped; every error names file and line."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from rdrop_exp.config.schema import OptionError


def find(root: Path, *names: str) -> Path | None:
    """The first of these files that exists in `root`, also gzipped."""
    paths = (root / f"{name}{ending}" for name in names for ending in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def needed(root: Path, *names: str) -> Path:
    """As `find`; `OptionError` where there is none."""
    path = find(root, *names)
    if path is None:
        raise OptionError(f"dataset.root={root} has no {' or '.join(names)}")
    return path


def read_lines(path: Path) -> list[str]:
    """The lines, without their ends and a byte-order mark; `OptionError` where they are not UTF-8."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise OptionError(f"{path} cannot be read: {error}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise OptionError(f"{path}, line {line}: not in UTF-8; convert the file") from None
    lines = text.split("\n")  # not splitlines: texts hold other separators, such as U+2028
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def read_tsv(path: Path, header: bool) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Column names (empty without a header) and rows with their line numbers; quotes are ordinary characters."""
    lines = read_lines(path)
    names = lines[0].split("\t") if header and lines else []

    def rows() -> Iterator[tuple[int, list[str]]]:
        for number, line in enumerate(lines[header:], 1 + header):
            values = line.split("\t")
            if header and len(values) < len(names):
                raise OptionError(f"{path}, line {number}: {len(values)} values for {len(names)} columns")
            yield number, values

    return names, rows()


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """The objects of a file of JSON lines, with their line numbers."""
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise OptionError(f"{path}, line {number}: not a JSON object")
        yield number, value
