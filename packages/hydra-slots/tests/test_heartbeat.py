"""Locks between hosts: processes that pretend to be hosts, for which `flock` excludes nobody."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from hydra_slots import heartbeat
from hydra_slots.lock import is_locked, lock
from tests.conftest import ROOT

PRETEND = """
import errno, fcntl, os, sys, time
from pathlib import Path
from hydra_slots import heartbeat, lock as locks
folder, heartbeat.HOST, heartbeat.BEAT = sys.argv[1], sys.argv[2], float(sys.argv[3])
locks._attempt = lambda descriptor, operation: (True, True)  # as between clients of NFS version 3
"""
HOLD = "with locks.lock(folder) as acquired:\n    print(acquired, flush=True)\n    time.sleep(30)"
RUN = """
for name in sorted(os.listdir(folder), key=lambda name: hash((name, heartbeat.HOST))):
    for _ in range(20):
        with locks.lock(Path(folder, name)) as acquired:
            if acquired and not Path(folder, name, "done").exists():
                with open(Path(folder, name, "ran"), "a") as file:
                    file.write("x")
                time.sleep(0.003)
                Path(folder, name, "done").touch()
"""


def host(code: str, folder: Path, name: str, beat: float = 0.05) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PRETEND + code, str(folder), name, str(beat)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT / "src")


@pytest.fixture
def elsewhere(monkeypatch):
    """This process as a host of its own, which `flock` does not keep from the others'."""
    monkeypatch.setattr("hydra_slots.lock._attempt", lambda descriptor, operation: (True, True))
    monkeypatch.setattr(heartbeat, "HOST", "here")


def test_another_hosts_lock_holds_while_it_beats_and_is_taken_over_after_three_missed(tmp_path, elsewhere, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT", 0.2)
    with host(HOLD, tmp_path, "there", 0.2) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "True\n"
        for _ in range(8):  # four times as long as it could be silent
            time.sleep(0.3)
            assert is_locked(tmp_path)
        os.kill(process.pid, signal.SIGSTOP)
        begun = time.monotonic()
        while is_locked(tmp_path):
            time.sleep(0.02)
        assert time.monotonic() - begun > 0.3
        with lock(tmp_path) as acquired:
            assert acquired
            assert [path.name for path in tmp_path.glob("claim.*")] == ["claim.2"]
            os.kill(process.pid, signal.SIGCONT)  # it was not dead: it must not go on
            assert process.wait(20) == 75
            assert "taken over" in process.stderr.read()
    assert not is_locked(tmp_path)


def test_clocks_of_hosts_do_not_matter(tmp_path, elsewhere, monkeypatch):
    (tmp_path / "claim").touch()
    (tmp_path / "claim.4").write_text("there 1 name\n")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert is_locked(tmp_path)
    with lock(tmp_path) as acquired:
        assert not acquired
    ago = (tmp_path / "claim.4").stat().st_mtime - heartbeat.MISSED * heartbeat.BEAT - 1
    os.utime(tmp_path / "claim.4", (ago, ago))
    assert not is_locked(tmp_path)
    with lock(tmp_path) as acquired:
        assert acquired
    assert (tmp_path / "claim.5").stat().st_mtime == 0


def test_a_record_of_this_host_is_nothing_without_its_flock_unless_there_is_none(tmp_path, monkeypatch):
    (tmp_path / "claim").touch()
    (tmp_path / "claim.1").write_text(f"{heartbeat.HOST} 1 name\n")
    assert not is_locked(tmp_path)
    monkeypatch.setattr("hydra_slots.lock._attempt", lambda descriptor, operation: (True, False))
    assert is_locked(tmp_path)


def test_one_host_of_several_takes_over(tmp_path, elsewhere, monkeypatch):
    """A process whose look at the folder is out of date does not get it, whatever it creates."""
    (tmp_path / "claim").touch()
    (tmp_path / "claim.1").touch()
    os.utime(tmp_path / "claim.1", (0, 0))
    real, looks = heartbeat.newest, Counter[str]()

    def late(folder):
        looks["all"] += 1
        if looks["all"] == 3:  # between this look and its own record, another has run the trial and a third runs it
            (tmp_path / "claim.1").unlink()
            (tmp_path / "claim.3").write_text("there 1 name\n")
            return 1
        return real(folder)

    monkeypatch.setattr(heartbeat, "newest", late)
    with lock(tmp_path) as acquired:
        assert not acquired


def test_four_hosts_run_each_trial_once(tmp_path):
    for i in range(12):
        (tmp_path / f"trial{i}").mkdir()
    hosts = [host(RUN, tmp_path, str(i), 5.0) for i in range(4)]
    for process in hosts:
        assert process.communicate(timeout=120)[1] == ""
    assert [(path / "ran").read_text() for path in sorted(tmp_path.iterdir())] == ["x"] * 12
