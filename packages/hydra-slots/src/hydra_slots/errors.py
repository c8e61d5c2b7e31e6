"""A mistake of the user in one sentence, and the nearest valid name to suggest."""

import difflib
from collections.abc import Iterable

from hydra.errors import CompactHydraException


class SweepError(CompactHydraException, ValueError):
    """A sweep that cannot be planned; the message is one sentence for the user, and nothing was started."""

    option_error = True  # marks a mistake in the options for callers that do not import this class


def suggestion(word: str, names: Iterable[str]) -> str:
    """The most similar name, as a question to append to a message; or all names where they are few."""
    names = sorted(names)
    completions = [name for name in names if word and name.startswith(word)]
    close = [min(completions, key=len)] if completions else difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; the choices are {', '.join(names)}" if 0 < len(names) <= 30 else ""
