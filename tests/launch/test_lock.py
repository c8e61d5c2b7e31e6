"""Claims: one process a trial, none left over when a process dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rdrop_exp.launch.lock import is_locked, lock
from tests.conftest import ROOT

HOLDER = """
import os, sys, time
from rdrop_exp.launch.lock import lock
from tests.conftest import ROOT
with lock(sys.argv[1]) as mine:
    if sys.argv[2] == "alone" or os.fork() == 0:
        print(mine, flush=True)
    time.sleep(30)
"""


def holder(folder: Path, mode: str = "alone") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), mode],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stdout.readline() == "True\n"
    return process


def test_a_claim_excludes_others_until_its_block_ends(tmp_path):
    folder = tmp_path / "trial"
    assert not is_locked(folder)
    with lock(folder) as mine:
        assert mine
        assert is_locked(folder)
        with lock(folder) as again:
            assert not again
    assert not is_locked(folder)
    with lock(folder) as mine:
        assert mine


def test_looking_leaves_no_trace(tmp_path):
    assert not is_locked(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_the_claim_of_a_killed_process_is_free_even_while_its_children_live(tmp_path):
    process = holder(tmp_path, "fork")
    try:
        assert is_locked(tmp_path)
        assert str(process.pid) in (tmp_path / "claim").read_text()
        process.kill()
        process.wait()
        with lock(tmp_path) as mine:
            assert mine
            assert str(os.getpid()) in (tmp_path / "claim").read_text()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()


def test_a_look_at_the_wrong_moment_does_not_lose_the_claim(tmp_path):
    looker = subprocess.Popen(
        [sys.executable, "-c", f"from rdrop_exp.launch.lock import held\nwhile True: is_locked({str(tmp_path)!r})"],
        cwd=ROOT,
    )
    try:
        time.sleep(0.3)
        for _ in range(200):
            with lock(tmp_path) as mine:
                assert mine
    finally:
        looker.kill()
        looker.wait()
