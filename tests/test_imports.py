"""The commands start without what only training and plotting need."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "timm", "numpy", "scipy", "plotly", "rich", "wandb", "hydra", "omegaconf")


@pytest.mark.parametrize("command", ["report", "analysis", "probe"])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = f"""
import sys
from rdrop_exp.{command}.cli import main
try:
    main(["--help"])
except SystemExit as end:
    print(end.code, [name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
