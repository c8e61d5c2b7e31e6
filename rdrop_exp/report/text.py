"""Text of other programs' files as it may be shown: a name is one line without control characters."""

from typing import Any


def printable(text: str) -> str:
    """The text without line breaks and with � for what would steer a terminal (escape sequences, text direction)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)


def one_line(value: Any) -> str:
    """A message on one line; empty for None."""
    return printable(" ".join(str(value).split())) if value else ""
