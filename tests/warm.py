"""A warm process: it has imported what takes seconds, and runs functions in forks of itself, in a fraction of one.

Tests use its client alone: `with Warm() as warm: warm.run(folder, "tests.warm:command", "regularizer=rdrop")`.
"""

import atexit
import gc
import importlib
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn, Self

ROOT = Path(__file__).parents[1]


class Warm:
    """The client: starts the warm process, and ends it."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.warm"]
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
        self._process.wait(timeout=60)

    def run(
        self, folder: Path, function: str, *arguments: Any, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Call `module:function` in a fork whose working directory and import path begin at `folder`.

        The arguments are JSON. The exit code is negative where a signal killed the fork.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {
            "folder": str(folder), "function": function, "arguments": arguments,
            "environment": {**os.environ, **environment},
        }  # fmt: skip
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return subprocess.CompletedProcess(function, **json.loads(self._process.stdout.readline()))


def serve() -> None:
    """Answer each line of stdin with how its fork ended."""
    import torch

    for name in ("hydra.core.override_parser.overrides_parser", "timm", "sklearn.datasets"):
        importlib.import_module(name)
    for name in ("cli", "report", "models.build", "train.trial"):
        importlib.import_module(f"rdrop_exp.{name}")
    torch.set_num_threads(1)  # no thread may exist when it forks
    gc.freeze()  # what is shared with the forks is not copied to be looked through
    files = [os.memfd_create(name) for name in ("stdout", "stderr")]
    for line in sys.stdin:
        for file in files:
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
        pid = os.fork()
        if not pid:
            run(files, **json.loads(line))
        _, status = os.waitpid(pid, 0)
        texts = [os.pread(file, os.fstat(file).st_size, 0).decode() for file in files]
        ended = {"returncode": os.waitstatus_to_exitcode(status), "stdout": texts[0], "stderr": texts[1]}
        print(json.dumps(ended), flush=True)


def run(files: list[int], folder: str, function: str, arguments: list[Any], environment: dict[str, str]) -> NoReturn:
    """In the fork: the function, with the streams, directory and environment of a process of its own."""
    code: Any = 1
    try:
        for target, file in enumerate([os.open(os.devnull, os.O_RDONLY), *files]):
            os.dup2(file, target)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.path[0] = folder
        module, _, name = function.partition(":")
        getattr(importlib.import_module(module), name)(*arguments)
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:  # to take torch's objects apart would cost more than most commands
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


def command(*arguments: str) -> None:
    """The command `rdrop-exp`."""
    from rdrop_exp import cli

    sys.argv = ["rdrop-exp", *arguments]
    cli.main()


if __name__ == "__main__":
    serve()
