"""One sweep over images and texts: each data set is compared by its own metric, and with its own baseline."""

import csv
import io
from pathlib import Path

import pytest

from rdrop_exp.report.cli import main
from tests.conftest import Command

SWEEP = """
overrides: { logger: local, debug: tiny }
grids:
  - overrides: { dataset: digits, model: resnet_micro_8, regularizer: [none, rdrop] }
  - overrides: { dataset: toy_language, model: gpt_micro, regularizer: [none, rdrop] }
"""


@pytest.mark.slow
def test_a_sweep_over_images_and_texts(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "mixed.yaml").write_text(SWEEP)
    done = command("-m", "sweep=mixed")
    assert done.returncode == 0, done.stderr
    assert "4 trials" in done.stdout
    again = command("-m", "sweep=mixed")
    assert "all finished" in again.stdout
    capsys.readouterr()
    assert main([str(tmp_path / "outputs" / "mixed"), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {(row["metric"], row["group"].split()[0]) for row in rows} == {
        ("accuracy", "none"), ("accuracy", "rdrop"), ("perplexity", "none"), ("perplexity", "rdrop"),
    }  # fmt: skip
