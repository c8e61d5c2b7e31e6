"""Processes of the W&B tests: trials, or rows alone, logged to the server on loopback."""

import os
import subprocess
import sys

from tests.conftest import ROOT
from tests.runs.wandb_stub import WandbStub

CLOSE_SECONDS = 2.0
"""Longest wait for W&B at the end, in tests of an outage."""
PRELUDE = """
import json, os, signal, sys, threading
from pathlib import Path
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.runs import wandb_run
from rdrop_exp.train import background, tracking

wandb_run.INIT_SECONDS, background.CLOSE_SECONDS = map(float, sys.argv[1:])
started, start = threading.Event(), background.start_run

def start_run(*given, **about):
    try:
        return start(*given, **about)
    finally:
        started.set()

background.start_run = start_run
"""
"""Waiting for `started` keeps trials of a second from being over before W&B has started on a busy machine."""
TRIALS = f"""{PRELUDE}
from rdrop_exp.train import checkpoint, trial

saved, save = 0, checkpoint.save

def counted(folder, state):
    global saved
    started.wait(30)
    save(folder, state)
    saved += 1
    if saved == stop_at:
        os.kill(os.getpid(), signal.SIGTERM)

checkpoint.save = counted
for line in sys.stdin:
    options, stop_at = json.loads(line)
    saved = 0
    started.clear()
    try:
        trial.run(from_dict(options))
    except SystemExit:  # stopped
        pass
"""
"""Runs trials, one of each line of stdin; a checkpoint after each step, and a SIGTERM to itself after so many."""
TRACKER = f"""{PRELUDE}
options, folder, steps, kill = json.loads(sys.stdin.read())
rows = Path(folder, "metrics.jsonl")
size = rows.stat().st_size if rows.exists() else 0
with tracking.Tracker(trial_spec(from_dict(options)), Path(folder), size) as tracker:
    for step in steps:
        tracker.row({{"step": step, "train/loss": 1 / step}})
    started.wait(30)
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)
"""
"""Logs rows without training, and may kill itself once the run has started: W&B sends no row in its first seconds."""


def process(
    code: str, stdin: str, stub: WandbStub, init_seconds: float = 30, close_seconds: float = 60
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, str(init_seconds), str(close_seconds)],
        input=stdin,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | stub.environment(),
        capture_output=True,
        text=True,
        timeout=150,
    )
