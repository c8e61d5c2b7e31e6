"""Untrusted text made safe to print: one line without control characters."""

import re
from typing import Any


def printable(text: str) -> str:
    """Line breaks become spaces; control and text-direction characters become �."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)


def one_line(value: Any) -> str:
    """A message on one line; empty for None."""
    return printable(" ".join(str(value).split())) if value else ""


def web_address(value: Any) -> str:
    """The value if it is a web address, else empty: `javascript:` must not become a link."""
    return value if isinstance(value, str) and re.fullmatch(r"https?://[!-~]+", value) else ""
