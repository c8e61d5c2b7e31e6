"""`python -m tests.slurm`: a sweep on a real Slurm whose node daemon is killed, whose jobs are preempted, and one
cancelled; every trial then equals one of a local sweep, bit for bit. Prints the times of both per trial."""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.slurm.cluster import cluster, output, wait_for

SWEEP = ["regularizer=none,rdrop", "seed=0,1", "schedule.epochs=80", "name=sweep", "logger=local"]
SLURM = ["hydra/launcher=slurm", "hydra.launcher.minutes=30", "hydra.launcher.sbatch={comment: test}"]
SHORT = ["regularizer=none", "seed=range(0,6)", "debug=tiny", "name=short", "logger=local"]
WAIT = 900  # seconds until any step has failed


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "rdrop_exp", "-m", *words]


@contextlib.contextmanager
def started(log: Path, *words: str) -> "Iterator[subprocess.Popen[bytes]]":
    with open(log, "wb") as file:
        process = subprocess.Popen(command(*words), stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def results(folder: str) -> dict[str, dict[str, Any]]:
    """Finished trials by identity: result.json without what the clock says."""
    read = [json.loads(path.read_text()) for path in Path(folder).glob("*/result.json")]
    return {r["identity"]: {"metrics": r["metrics"]} for r in read if r["status"] == "finished"}


def rows(folder: str) -> dict[str, list[dict[str, Any]]]:
    """metrics.jsonl of each trial, without what the clock says."""
    clock = re.compile(r"second|time|/s$|memory")
    return {
        path.parent.name: [
            {k: v for k, v in json.loads(line).items() if not clock.search(k)} for line in path.read_text().splitlines()
        ]
        for path in Path(folder).glob("*/metrics.jsonl")
    }


def jobs(state: str) -> list[str]:
    """Jobs of the sweep in this state, such as 3_1."""
    words = ("squeue", "--noheader", "--array", "--partition=low", f"--states={state}", "--format=%F_%K")
    return output(*words).split()


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def trouble(daemons: Any) -> None:
    """One sweep: slurmd is killed, both jobs that run are preempted, one is cancelled; the same command goes on."""
    log, folder = Path("sweep.log"), Path("slurm/sweep")
    with started(log, *SWEEP, *SLURM, "output_dir=slurm") as sweep:
        wait_for(lambda: len(list(folder.glob("*/metrics.jsonl"))) == 2, WAIT)
        say(f"two trials run in jobs {jobs('RUNNING')}: slurmd is killed, and started again")
        daemons.kill("slurmd")
        time.sleep(3)
        daemons.start("slurmd")
        time.sleep(3)
        say(f"jobs {jobs('RUNNING')} are preempted")
        high = ["sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap=sleep 2", "--wait"]
        subprocess.run(high, check=True, stdout=subprocess.DEVNULL, timeout=WAIT)
        logs = "".join(path.read_text() for path in folder.glob("slurm/*/*.log"))
        assert logs.count("saved; queued again") == 2, logs
        wait_for(lambda: jobs("RUNNING"), WAIT)
        time.sleep(15)
        cancelled = jobs("RUNNING")[0]
        say(f"job {cancelled} is cancelled")
        subprocess.run(["scancel", cancelled], check=True)
        code = sweep.wait(timeout=2 * WAIT)
    text = log.read_text()
    assert code == 1, text
    assert f"{cancelled} ended as CANCELLED" in text
    assert "1 of 4 trials failed" in text
    assert "report.html" in text
    assert len(results("slurm/sweep")) == 3
    say("the same command finishes the rest")
    done = subprocess.run(command(*SWEEP, *SLURM, "output_dir=slurm"), capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 finished, 1 to resume" in done.stdout, done.stdout
    say("the same sweep without Slurm")
    local = ["output_dir=local", "hydra.launcher.slots=2"]
    subprocess.run(command(*SWEEP, *local), check=True, stdout=subprocess.DEVNULL, timeout=2 * WAIT)
    assert len(results("local/sweep")) == 4
    assert results("slurm/sweep") == results("local/sweep")
    assert all(len(each) == 80 for each in rows("local/sweep").values())
    assert rows("slurm/sweep") == rows("local/sweep")
    say("all results, and every row of metrics.jsonl, are equal")


def limit() -> None:
    """A trial that is longer than its job may run."""
    words = ["seed=0", "schedule.epochs=400", "name=limit", "logger=local", "output_dir=limit"]
    words += ["hydra/launcher=slurm", "hydra.launcher.minutes=2", "hydra.launcher.grace=5"]
    subprocess.run(command(*words), check=True, stdout=subprocess.DEVNULL, timeout=WAIT)
    logs = "".join(path.read_text() for path in Path("limit/limit").glob("slurm/*/*.log"))
    assert "saved; queued again for the 1. time" in logs, logs
    assert [len(each) for each in rows("limit/limit").values()] == [400]
    say(f"a trial of {logs.count('queued again') + 1} jobs finished")


def overhead() -> None:
    """Seconds of six tiny trials, the same on two slots, on Slurm one by one, and on Slurm three to a job."""
    took = {}
    for name, words in {
        "slots": ["hydra.launcher.slots=2"],
        "slurm": SLURM,
        "slurm, 3 trials to a job": [*SLURM, "hydra.launcher.trials_per_job=3"],
    }.items():
        begun = time.monotonic()
        done = command(*SHORT, *words, f"output_dir=short/{name.replace(', ', '_').replace(' ', '_')}")
        subprocess.run(done, check=True, stdout=subprocess.DEVNULL, timeout=WAIT)
        took[name] = time.monotonic() - begun
        say(f"{name}: {took[name]:.0f} s for 6 trials, {took[name] / took['slots']:.2f} times slots")


def main() -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with tempfile.TemporaryDirectory(prefix="rdrop-slurm-", ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        (Path(folder) / "cluster").mkdir()
        with cluster(Path(folder) / "cluster") as daemons:
            for part in sys.argv[1:] or ["trouble", "limit", "overhead"]:
                {"trouble": lambda: trouble(daemons), "limit": limit, "overhead": overhead}[part]()
        os.chdir("/")


if __name__ == "__main__":
    main()
