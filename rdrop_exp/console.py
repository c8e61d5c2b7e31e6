"""How the console commands other than rdrop-exp end."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rdrop_exp.config.schema import OptionError


def run(name: str, action: Callable[[argparse.Namespace], int | None], args: argparse.Namespace) -> int:
    """The exit code: the action's own or 0, and 2 after a user error, reported in one sentence."""
    try:
        return action(args) or 0
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        sys.stderr.close()
        return 0
    except (OptionError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2


@contextmanager
def status(text: str) -> Iterator[None]:
    """Say what is being done while it lasts, in a terminal; elsewhere, and on further ranks of a trial, say nothing."""
    from hydra_slots.devices import rank

    if rank() or not sys.stdout.isatty():
        yield
        return
    from rich.console import Console

    with Console().status(f"{text} …"):
        yield
