"""Every example runs as written, and learns."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.warm import ROOT, Warm

EXAMPLES = ROOT / "examples"
NEEDS = {"hugging_face_trainer": "accelerate", "lightning_module": "lightning"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_example(warm: Warm, path: Path, tmp_path: Path) -> None:
    if find_spec(package := NEEDS.get(path.stem, "torch")) is None:
        pytest.skip(f"{package} is not installed")
    output = run(warm, path.read_text(encoding="utf-8"), tmp_path)
    if accuracy := re.search(r"test accuracy ([\d.]+)%", output):
        assert float(accuracy[1]) > (80 if path.stem != "timm_loop" else 50)
    else:
        assert float(re.findall(r"test loss ([\d.]+)", output)[0]) < 0.3


def test_notebook(warm: Warm, tmp_path: Path) -> None:
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    output = run(warm, f"{code}\nprint(rdrop_exp.compare(folder).columns.tolist())", tmp_path)
    assert "'test_mean'" in output.splitlines()[-1]


def run(warm: Warm, code: str, folder: Path) -> str:
    done = warm.run(folder, "tests.warm:script", code)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
