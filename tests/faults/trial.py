"""A trial with a fault, in a fork of the warm process."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.injection import Fault, Injection
from tests.warm import Warm

OPERATIONS = "operations.json"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    code: int
    """Exit code; negative: killed by that signal."""
    output: str
    errors: str
    operations: list[str]
    """Counted system calls, in order; empty where the process was killed."""


def run(warm: Warm, folder: Path, options: dict[str, Any], fault: Fault | None = None, at: int = 0) -> Ended:
    """The trial of these options, started in `folder`, with the fault at operation `at` on `folder/outputs`."""
    folder.mkdir(parents=True, exist_ok=True)
    done = warm.run(folder, "tests.faults.trial:forked", options, fault, at)
    counted = folder / OPERATIONS
    operations = json.loads(counted.read_text()) if counted.exists() else []
    counted.unlink(missing_ok=True)
    return Ended(done.returncode, done.stdout, done.stderr, operations)


def forked(options: dict[str, Any], fault: str | None, at: int) -> None:
    """In the fork: the trial, which ends as the command would once Hydra has composed its options."""
    from rdrop_exp import cli
    from rdrop_exp.config.checks import from_dict
    from rdrop_exp.runs import code as provenance
    from rdrop_exp.train import trial

    provenance._git = functools.cache(lambda: ("0" * 40, b"changed"))  # code.diff is written in a clean checkout too
    injection = Injection(Path("outputs"), Fault(fault) if fault else None, at)
    injection.install()
    try:
        trial.run(from_dict(options))
    except Exception as error:
        cli.exit_with(error)
    finally:
        Path(OPERATIONS).write_text(json.dumps(injection.operations))
