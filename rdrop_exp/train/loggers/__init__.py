"""Further loggers, each a module over its library, imported only where `logger.also` names it."""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from rdrop_exp.config.identity import TrialSpec
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError


class Logger(Protocol):
    """One trial in one logger; whatever its methods raise costs a warning."""

    def log(self, row: dict[str, Any]) -> None:
        """A row of metrics.jsonl, without values that are not finite."""

    def summary(self, values: dict[str, Any]) -> None:
        """The final metrics."""

    def close(self, failed: bool) -> None:
        """Write what is left."""


def check(o: Options) -> None:
    """`OptionError` for a logger whose library is not installed."""
    for name in o.logger.also:
        if find_spec(name) is None:
            raise OptionError(f"logger.also=[{name}] needs a package: pip install 'rdrop-exp[{name}]'")
    chosen = os.environ.get("MLFLOW_TRACKING_URI") or "mlflow" in sys.modules  # a program may have set it there
    if "mlflow" in o.logger.also and not chosen and find_spec("sqlalchemy") is None:
        raise OptionError(
            "logger.also=[mlflow] needs a place to log to: set MLFLOW_TRACKING_URI to a server's address, or"
            " pip install mlflow to log to mlflow.db in the current folder"
        )


def start(name: str, spec: TrialSpec, folder: Path, earlier: list[dict[str, Any]]) -> Logger:
    """Start it; `earlier`: the rows of the part of the trial that was stopped, of which it may have logged some."""
    logger: Logger = import_module(f"rdrop_exp.train.loggers.{name}").Writer(spec, folder)
    for row in earlier:
        logger.log(row)
    return logger
