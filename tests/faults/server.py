"""A warm process that runs trials in forks of itself, each with a fault, in a fraction of a second.

Tests use its client alone: `with Server() as server: server.run(folder, options, Fault.KILL, 5)`.
"""

import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.conftest import ROOT
from tests.faults.injection import Fault, Injection


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    code: int
    """Exit code; negative: killed by that signal."""
    output: str
    errors: str
    operations: list[str]
    """Counted system calls, in order; empty where the process was killed."""


class Server:
    """The client: starts the warm process, and ends it."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.faults.server"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)

    def run(self, folder: Path, options: dict[str, Any], fault: Fault | None = None, at: int = 0) -> Ended:
        """The trial of these options, started in `folder`, with the fault at operation `at` on `folder/outputs`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        folder.mkdir(parents=True, exist_ok=True)
        request = {"folder": str(folder), "options": options, "fault": fault, "at": at}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return Ended(**json.loads(self._process.stdout.readline()))


def serve() -> None:
    """Answer each line of stdin with how its run ended."""
    import sklearn.datasets  # noqa: F401
    import torch

    from rdrop_exp import cli  # noqa: F401
    from rdrop_exp.train import trial  # noqa: F401

    torch.set_num_threads(1)  # no thread may exist when it forks
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            run(**request)
        _, status = os.waitpid(pid, 0)
        folder = Path(request["folder"])
        counted = folder / "operations.json"
        texts = {"output": (folder / "stdout").read_text(), "errors": (folder / "stderr").read_text()}
        operations = json.loads(counted.read_text()) if counted.exists() else []
        counted.unlink(missing_ok=True)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "operations": operations, **texts}), flush=True)


def run(folder: str, options: dict[str, Any], fault: str | None, at: int) -> None:
    """In a fork: the trial, which ends as the command would once Hydra has composed its options; never returns."""
    from rdrop_exp import cli
    from rdrop_exp.config.checks import from_dict
    from rdrop_exp.runs import code as provenance
    from rdrop_exp.train import trial

    provenance._git = functools.cache(lambda: ("0" * 40, b"changed"))  # code.diff is written in a clean checkout too
    code: Any = 70
    try:
        os.chdir(folder)
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), descriptor)
        injection = Injection(Path("outputs"), Fault(fault) if fault else None, at)
        injection.install()
        try:
            trial.run(from_dict(options))
            code = 0
        except Exception as error:
            try:
                cli.exit_with(error)
            except SystemExit as end:
                code = end.code
        Path("operations.json").write_text(json.dumps(injection.operations))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
