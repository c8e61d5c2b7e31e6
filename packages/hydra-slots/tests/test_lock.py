"""Locks: one process per trial, none left over when a process dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hydra_slots.lock import is_locked, lock
from tests.conftest import ROOT

HOLDER = """
import os, sys, time
from hydra_slots.lock import lock
with lock(sys.argv[1]) as acquired:
    if sys.argv[2] == "alone" or os.fork() == 0:
        print(acquired, flush=True)
    time.sleep(30)
"""


def holder(folder: Path, mode: str = "alone") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), mode],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT / "src",
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def test_a_lock_excludes_others_until_its_block_ends(tmp_path):
    folder = tmp_path / "trial"
    assert not is_locked(folder)
    with lock(folder) as acquired:
        assert acquired
        assert is_locked(folder)
        with lock(folder) as again:
            assert not again
    assert not is_locked(folder)
    with lock(folder) as acquired:
        assert acquired


def test_looking_leaves_no_trace(tmp_path):
    assert not is_locked(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_the_lock_of_a_killed_process_is_free_even_while_its_children_live(tmp_path):
    process = holder(tmp_path, "fork")
    assert process.stdout is not None
    try:
        assert is_locked(tmp_path)
        assert str(process.pid) in (tmp_path / "claim").read_text()
        process.kill()
        process.wait()
        with lock(tmp_path) as acquired:
            assert acquired
            assert str(os.getpid()) in (tmp_path / "claim").read_text()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()


def test_a_look_at_the_wrong_moment_does_not_lose_the_lock(tmp_path):
    code = "import sys; from hydra_slots.lock import is_locked\nwhile True: is_locked(sys.argv[1])"
    looker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT / "src")
    try:
        time.sleep(0.3)
        for _ in range(200):
            with lock(tmp_path) as acquired:
                assert acquired
        assert looker.poll() is None
    finally:
        looker.kill()
        looker.wait()


def test_a_symbolic_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("data")
    (tmp_path / "claim").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="claim"), lock(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "data"
