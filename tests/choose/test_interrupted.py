"""rdrop-choose in a process of its own, interrupted and resumed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

WORDS = ["logger=local", "schedule.epochs=1", "hydra.launcher.slots=1", "--trials", "34", "--stop-after", "pilot"]


def start(folder: Path) -> "subprocess.Popen[str]":
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "rdrop_exp.choose", *WORDS],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def processes(folder: Path) -> list[str]:
    """Those that work in the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            found += [path.name] if os.readlink(path / "cwd") == str(folder) else []
        except OSError:  # it has ended
            continue
    return found


def tables(folder: Path) -> tuple[object, list[str]]:
    """What was fixed, and the trials."""
    choose = folder / "outputs" / "choose"
    return yaml.safe_load((choose / "choose.yaml").read_text()), sorted(
        p.parent.name for p in choose.glob("*/result.json")
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="reads /proc")
def test_a_choice_that_was_interrupted_decides_as_one_that_was_not(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    output = start(whole).communicate()[0]
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start(stopped)
        before = len(list(stopped.glob("outputs/choose/*/result.json")))
        while process.poll() is None and len(list(stopped.glob("outputs/choose/*/result.json"))) < before + 2:
            time.sleep(0.05)
        os.killpg(process.pid, number)  # as a terminal does for Ctrl-C
        said, error = process.communicate()
        assert process.returncode == 128 + number, said + error
        assert "Traceback" not in said + error
        assert error.splitlines()[-1].startswith("rdrop-choose: Stopped and saved")
        assert processes(stopped) == []
    resumed = start(stopped).communicate()[0]
    timed = re.compile(r"\S+ s per trial")
    assert timed.search(output)
    assert timed.sub("", resumed) == timed.sub("", output)
    assert tables(stopped) == tables(whole)
