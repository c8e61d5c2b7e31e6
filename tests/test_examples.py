"""Every example runs as written, and learns."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"
NEEDS = {"hugging_face_trainer": "accelerate", "lightning_module": "lightning"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_example(path: Path, tmp_path: Path) -> None:
    if find_spec(package := NEEDS.get(path.stem, "torch")) is None:
        pytest.skip(f"{package} is not installed")
    output = run(path.read_text(encoding="utf-8"), tmp_path)
    if accuracy := re.search(r"test accuracy ([\d.]+)%", output):
        assert float(accuracy[1]) > (80 if path.stem != "timm_loop" else 50)
    else:
        assert float(re.findall(r"test loss ([\d.]+)", output)[0]) < 0.3


def test_notebook(tmp_path: Path) -> None:
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    output = run(f"{code}\nprint(rdrop_exp.compare(folder).columns.tolist())", tmp_path)
    assert "'test_mean'" in output.splitlines()[-1]


def run(code: str, folder: Path) -> str:
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
