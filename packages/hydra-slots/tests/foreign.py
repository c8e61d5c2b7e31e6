"""A foreign Hydra application of ten lines, written to a folder and run there, in this process or in one of its own."""

import contextlib
import importlib.util
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

NUMBER = itertools.count()

APP = """
import os, time, hydra
from pathlib import Path
from hydra.core.hydra_config import HydraConfig
import hydra_slots

hydra_slots.register(**SETTINGS)
version = {} if hydra.__version__ >= "1.4" else {"version_base": None}

@hydra.main(config_path=str(Path(__file__).parent / "conf"), config_name="config", **version)
def main(cfg):
    folder = Path(HydraConfig.get().runtime.output_dir)
BODY

if __name__ == "__main__":
    main()
"""

CONFIG = """
defaults:
  - reg: none
  - _self_
  - override hydra/sweeper: union
  - override hydra/launcher: slots
  - override hydra/hydra_logging: none
  - override hydra/job_logging: none
x: 1
seed: 0
accumulate: 1
hydra:
  output_subdir: null
  sweep: {dir: out}
"""

GROUPS = {"none": "rate: 0.0", "drop": "rate: 0.1\nalpha: 1.0", "path": "rate: 0.2\ndepth: 3"}


def options(words: tuple[str, ...]) -> list[str]:
    """Two workers, started at once, unless another launcher runs."""
    other = any(word.startswith("hydra/launcher=") for word in words)
    return [*words] if other else ["hydra.launcher.slots=2", "hydra.launcher.stagger=0", *words]


@dataclass
class Done:
    """What a run left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


class App:
    """The application in its folder; `body` is the task's, indented by nothing, with `cfg` and `folder` at hand."""

    def __init__(
        self, folder: Path, body: str, config: str = CONFIG, groups: dict[str, str] = GROUPS, **settings: Any
    ) -> None:
        """`settings`: what the application gives to `hydra_slots.register`."""
        self.folder, self.name = folder, f"foreign_{next(NUMBER)}"
        (folder / "conf" / "reg").mkdir(parents=True)
        (folder / "sweeps").mkdir()
        (folder / "conf" / "config.yaml").write_text(config)
        for name, text in groups.items():
            (folder / "conf" / "reg" / f"{name}.yaml").write_text(text)
        indented = "\n".join("    " + line for line in body.strip().splitlines())
        (folder / f"{self.name}.py").write_text(APP.replace("BODY", indented).replace("SETTINGS", repr(settings)))

    def sweep(self, name: str, text: str) -> None:
        (self.folder / "sweeps" / f"{name}.yaml").write_text(text)

    def run(self, *words: str) -> Done:
        """A multirun in this process (its workers are processes all the same)."""
        out, err = io.StringIO(), io.StringIO()
        spec = importlib.util.spec_from_file_location(self.name, self.folder / f"{self.name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, self.name, module)
            patch.syspath_prepend(str(self.folder))
            patch.setattr(sys, "argv", [f"{self.name}.py", "-m", *options(words)])
            patch.chdir(self.folder)
            spec.loader.exec_module(module)
            code: Any = 0
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    module.main()
                except SystemExit as stop:
                    code = stop.code
        return Done(code, out.getvalue(), err.getvalue())

    @contextlib.contextmanager
    def start(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """A multirun in a process, and a process group, of its own; it is killed where a test leaves it running."""
        process = subprocess.Popen(
            [sys.executable, f"{self.name}.py", "-m", *options(words)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def results(self, out: str = "out") -> dict[str, dict[str, Any]]:
        """Every result.json, by its trial's folder."""
        paths = sorted((self.folder / out).glob("*/result.json"))
        return {path.parent.name: json.loads(path.read_text()) for path in paths}

    def values(self, out: str = "out") -> list[Any]:
        return [result.get("value") for result in self.results(out).values()]
