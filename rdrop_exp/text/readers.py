"""Every text data set by name, read from plain files in `dataset.root` as they are distributed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rdrop_exp.config.canonical import USERS_TEXTS
from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.schema import OptionError
from rdrop_exp.text import hub
from rdrop_exp.text.files import STEMS, Files, needed, read_lines, root_of
from rdrop_exp.text.glue import GLUE, glue_files, read_glue
from rdrop_exp.text.pairs import parallel_files, read_parallel, read_summaries, summary_files
from rdrop_exp.text.tables import read_text_csv, text_csv_files
from rdrop_exp.text.texts import Part, Texts, assemble
from rdrop_exp.text.toy import TOYS, read_toy


def wikitext_files(options: Dataset) -> Files:
    """Three files in `root`, or in a folder such as `wikitext-2` inside it."""
    name = hub.WIKITEXT[options.name]
    root, files = root_of(options, name, f"{name}-raw"), Files()
    for part, stem in {**{part: stems[0] for part, stems in STEMS.items()}, "validation": "valid"}.items():
        files[part] = (needed(root, [f"{stem}.txt", f"wiki.{stem}.tokens", f"wiki.{stem}.raw"]),)
    return files


def read_wikitext(options: Dataset, files: Files) -> Texts:
    """WikiText (Merity et al. 2016, arXiv 1609.07843): paragraphs."""
    parts = {}
    for part, (path,) in files.items():
        lines = [(i, line.strip()) for i, line in enumerate(read_lines(path), 1) if line.strip()]
        parts[part] = Part(str(path), first=[line for _, line in lines], lines=[i for i, _ in lines])
    return assemble(options, "language", parts)


class Reader(NamedTuple):
    files: Callable[[Dataset], Files]
    """Lists the files; `OptionError` where one is missing."""
    read: Callable[[Dataset, Files], Texts]


READERS = {
    **dict.fromkeys(TOYS, Reader(lambda options: {}, read_toy)),
    **dict.fromkeys(GLUE, Reader(glue_files, read_glue)),
    **dict.fromkeys(hub.WIKITEXT, Reader(wikitext_files, read_wikitext)),
    "text_csv": Reader(text_csv_files, read_text_csv),
    "parallel": Reader(parallel_files, read_parallel),
    "summaries": Reader(summary_files, read_summaries),
}


def read(options: Dataset) -> Texts:
    """The text data set that the options name; `OptionError` naming file and line where it cannot be read."""
    files = _files(options)
    texts = READERS[options.name].read(options, files)
    return dataclasses.replace(texts, fingerprint=_fingerprint(options, files))


def _files(options: Dataset) -> Files:
    """Where they are missing, downloaded first if the user wants it and the hub has them."""
    try:
        return READERS[options.name].files(options)
    except OptionError as error:
        if options.name not in (*GLUE, *hub.WIKITEXT):
            raise
        if not options.download:
            hint = "" if str(error).endswith("?") else f"; dataset.download=true fetches {options.name}"
            raise OptionError(f"{error}{hint}") from None
    hub.download(options)
    return READERS[options.name].files(options)


def text_fingerprint(options: Dataset) -> str:
    """12 hex digits that change with the files of the user's own texts; the name of a published data set."""
    return _fingerprint(options, READERS[options.name].files(options) if options.name in USERS_TEXTS else {})


def vocabulary_file(options: Dataset) -> Path | None:
    """The file of `dataset.vocabulary`, also relative to the root; None where there is none."""
    path = Path(options.vocabulary).expanduser()
    path = path if path.is_file() else Path(options.root).expanduser() / path
    return path if options.vocabulary and path.is_file() else None


def _fingerprint(options: Dataset, files: Files) -> str:
    """quick: set, name, size and modification time of each file. content: the bytes instead of size and time."""
    from rdrop_exp.data.fingerprint import hash_file

    if options.name not in USERS_TEXTS:
        return options.name
    digest = hashlib.blake2b(options.fingerprint.encode(), digest_size=6)
    vocabulary = vocabulary_file(options)
    for part, paths in (files | ({"vocabulary": [vocabulary]} if vocabulary else {})).items():
        for path in paths:
            status = path.stat()
            quick = options.fingerprint == "quick"
            content = (status.st_size, status.st_mtime_ns) if quick else hash_file(str(path))
            digest.update(repr((part, path.name, content)).encode())
    return digest.hexdigest()
