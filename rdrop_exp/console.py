"""How the console commands beside rdrop-exp end."""

import argparse
import sys
from collections.abc import Callable

from rdrop_exp.config.schema import OptionError


def run(name: str, action: Callable[[argparse.Namespace], None], given: argparse.Namespace) -> int:
    """The exit code: 0, or 2 for what cannot be done, said in one sentence."""
    try:
        action(given)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        return 0
    except (OptionError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    return 0
