"""A sweep whose workers are killed at random, and its runner twice, ends as if nothing had happened.

make test-faults        or: python -m pytest -m faults tests/test_faults.py
"""

import json
import os
import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from hydra_slots.lock import is_locked
from tests.foreign import App

TRIALS, STEPS, INTERVAL = 40, 30, 5

BODY = f"""
import fcntl
alone = open(folder / "alone", "w")
fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where the trial runs twice at once
state = folder / "checkpoint.pt"
step, number = map(int, state.read_text().split()) if state.exists() else (0, cfg.x)
while step < {STEPS}:
    time.sleep(0.02)
    number = (1103515245 * number + 12345 + step) % 2**31
    step += 1
    with open(folder / "steps", "a") as file:
        file.write(f"{{step}}\\n")
    if step % {INTERVAL} == 0:
        (folder / "draft").write_text(f"{{step}} {{number}}")
        os.replace(folder / "draft", state)
return number
"""


def undisturbed(x: int) -> int:
    number = x
    for step in range(STEPS):
        number = (1103515245 * number + 12345 + step) % 2**31
    return number


def workers(runner: int) -> list[int]:
    """Processes that this runner has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if stat.read_text().rpartition(")")[2].split()[1] == str(runner):
                found.append(int(stat.parent.name))
        except (OSError, IndexError):
            continue
    return found


@pytest.mark.faults
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc")
def test_forty_trials_survive_random_kills(tmp_path):
    app, dice = App(tmp_path, BODY), random.Random(0)
    words = [f"x=range(0,{TRIALS})", "hydra.launcher.retries=100"]
    seen: dict[str, str] = {}
    killed = {"workers": 0, "runners": 0}
    end, next_kill = time.monotonic() + 240, time.monotonic() + 1.5
    with ExitStack() as started:
        runner = started.enter_context(app.start(*words))
        while runner.poll() is None:
            assert time.monotonic() < end, "the sweep does not end"
            time.sleep(0.02)
            for path in (tmp_path / "out").glob("*/result.json"):
                assert seen.setdefault(path.parent.name, path.read_text()) == path.read_text(), "finished twice"
            if killed["runners"] < 2 and len(seen) >= 12 * (killed["runners"] + 1):
                killed["runners"] += 1
                runner.kill()
                runner = started.enter_context(app.start(*words))  # at once, while the orphans still end
            elif time.monotonic() > next_kill and (pids := workers(runner.pid)):
                os.kill(dice.choice(pids), signal.SIGKILL)
                killed["workers"] += 1
                next_kill = time.monotonic() + dice.uniform(0.2, 1.2)
        out, _ = runner.communicate()
    assert runner.returncode == 0, out
    assert killed["workers"] >= 10
    assert killed["runners"] == 2
    results = app.results()
    assert sorted(r["value"] for r in results.values()) == sorted(undisturbed(x) for x in range(TRIALS))
    assert {r["status"] for r in results.values()} == {"finished"}
    assert all(json.loads(text) == results[name] for name, text in seen.items()), "a finished trial ran again"
    for folder in (tmp_path / "out").iterdir():
        steps = [int(line) for line in (folder / "steps").read_text().split()]
        lost = [before + 1 - after for before, after in zip([0, *steps], steps, strict=False)]
        assert all(0 <= each < INTERVAL + 1 for each in lost), "more was lost than a checkpoint interval"
        assert steps[-1] == STEPS
        assert not is_locked(folder)
    again = app.run(*words)
    assert again.code == 0
    assert again.out.startswith(f"{TRIALS} trials ")
    assert ": all finished" in again.out
