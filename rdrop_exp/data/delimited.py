"""A text file of delimited values: its encoding and delimiter are found, and malformed lines refused."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from rdrop_exp.config.schema import OptionError

DELIMITERS = (",", ";", "\t", "|")
BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

Row = tuple[int, list[str]]
"""Line number and values."""


def read_table(file: Path, title: str, wanted: Sequence[str]) -> tuple[list[str], list[Row]]:
    """Column names and rows, without surrounding blanks; the delimiter is the one that finds the `wanted` columns.

    `OptionError`, which begins with `title`, for text in another encoding, rows of another length, and no row.
    """
    lines = io.StringIO(read_text(file), newline="")
    skipped = 1 if re.match(r"sep=.\r?\n", lines.getvalue()) else 0  # how Excel names the delimiter
    if skipped:
        lines.readline()
    start = lines.tell()
    delimiter = max(DELIMITERS, key=lambda each: _score(lines.getvalue()[start : start + 100_000], each, wanted))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows: list[Row] = []
    try:
        columns = [name.strip() for name in next(reader, [])]
        for values in reader:
            line, row = reader.line_num + skipped, [value.strip() for value in values]
            if not any(row):
                continue
            if len(row) < len(columns) or any(row[len(columns) :]):
                raise OptionError(
                    f"{title}, line {line}: {len(row)} values for {len(columns)} columns; put a value that contains"
                    f" {delimiter!r} in quotes"
                )
            rows.append((line, row))
    except csv.Error as error:
        raise OptionError(f"{title}, line {reader.line_num + skipped}: {error}") from None
    if not rows:
        raise OptionError(f"{title} has no line after its header" if columns else f"{title} is empty")
    return columns, rows


def plain(name: str) -> str:
    """A column's name without regard to case and blanks."""
    return "".join(name.split()).casefold()


def _score(text: str, delimiter: str, wanted: Sequence[str]) -> tuple[int, int]:
    """How well a delimiter divides the header: wanted columns, then columns at all."""
    try:
        columns = [plain(name) for name in next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])]
    except csv.Error:
        return 0, 0
    return sum(plain(name) in columns for name in wanted), len(columns)


def read_text(file: Path) -> str:
    """What a text file holds, unpacked where its name ends in .gz; `OptionError` where it is not text in UTF-8.

    Also UTF-16 with a byte-order mark, which is how spreadsheets save tables.
    """
    raw = _read(file)
    kind = "the table as CSV" if ".csv" in file.suffixes else "it"
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise OptionError(f"{file}, line {line}: not in UTF-8; save {kind} in UTF-8") from None
    if "\0" in text:
        raise OptionError(f"{file} is not a text; save {kind} in UTF-8")
    return text


def _read(file: Path) -> bytes:
    if file.exists() and not file.is_file():  # reading a named pipe would wait for ever
        raise OptionError(f"{file} is {'a folder' if file.is_dir() else 'a device'}, not a file")
    try:
        raw = file.read_bytes()
        return gzip.decompress(raw) if file.suffix == ".gz" else raw
    except gzip.BadGzipFile:
        raise OptionError(f"{file} is not compressed by gzip; remove .gz from its name") from None
    except (EOFError, zlib.error):
        raise OptionError(f"{file} is damaged or incomplete: it cannot be unpacked") from None
    except OSError as error:
        raise OptionError(f"cannot read {file}: {error.strerror}") from None
