"""`hydra/launcher=slurm` with commands that pretend to be Slurm's; `make test-slurm` runs it on a real one."""

import os
import signal
import stat
import sys

import pytest

from tests.foreign import App
from tests.test_launcher import STEPS, TRIES, wait_for

SBATCH = """
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' $2)
for i in $(seq 0 $last); do
  echo "export SLURM_ARRAY_TASK_ID=$i SLURM_JOB_ID=7_$i; exec bash $2" > $FAKE/$i.sh
  bash $FAKE/$i.sh > $FAKE/$i.log 2>&1 &
  echo $! > $FAKE/$i.pid
done
echo 7
"""
SRUN = """
exec "${@:2}"
"""
SQUEUE = """
for file in $FAKE/*.pid; do
  if kill -0 $(cat $file) 2> /dev/null; then state=RUNNING; else state=FAILED; fi
  echo "$(basename $file .pid) $state"
done
"""
SCANCEL = """
case "$*" in *INT*) for file in $FAKE/*.pid; do kill -INT $(cat $file); done;; esac
"""
SCONTROL = """
[ $1 = requeue ] || { echo JobState=RUNNING; exit; }
i=${2#7_}
SLURM_RESTART_COUNT=1 bash $FAKE/$i.sh >> $FAKE/$i.log 2>&1 &
echo $! > $FAKE/$i.pid
"""
COMMANDS = {"sbatch": SBATCH, "srun": SRUN, "squeue": SQUEUE, "scancel": SCANCEL, "scontrol": SCONTROL}
SLURM = "hydra/launcher=slurm"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A folder with the commands, in front of the path, and with the logs of the jobs."""
    from hydra_slots import slurm_sweep

    folder = tmp_path / "fake"
    folder.mkdir()
    for name, text in {
        "sbatch": SBATCH,
        "srun": SRUN,
        "squeue": SQUEUE,
        "scancel": SCANCEL,
        "scontrol": SCONTROL,
    }.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}")
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name, seconds in {"LOOK": 0.1, "ASK": 0.2, "LOST": 0.5}.items():
        monkeypatch.setattr(slurm_sweep, name, seconds)
    return folder


def test_an_array_of_jobs_runs_the_sweep_and_its_end_is_as_without(tmp_path, fake, monkeypatch):
    app = App(tmp_path, TRIES + "if cfg.x == 3:\n    raise ValueError('no')\nreturn [cfg.x, os.getppid()]")
    words = ["hydra.launcher.trials_per_job=2", "hydra.launcher.retries=1", "hydra.launcher.jobs_at_once=5"]
    words += ["hydra.launcher.partition=a", "+hydra.launcher.sbatch.exclusive=true", "hydra.launcher.cpus=4"]
    done = app.run("x=1,2,3,4", SLURM, *words)
    assert done.code == 1
    assert done.out.startswith("4 trials: 4 to run\nSlurm job 7: 2 jobs, logs in ")
    assert "failed: x=3: ValueError: no" in done.out
    assert "1 of 4 trials failed" in done.err
    assert sum("/4] finished x=" in line for line in done.out.splitlines()) == 3
    jobs = {value[0]: value[1] for value in app.values() if value}
    assert jobs[1] == jobs[2] != jobs[4]
    (script,) = (tmp_path / "out").glob("slurm/*/job.sh")
    wanted = {"--partition=a", "--array=0-1%5", "--exclusive", "--cpus-per-task=4", "--signal=USR2@120"}
    assert wanted <= {line.removeprefix("#SBATCH ") for line in script.read_text().splitlines()}
    assert not list(script.parent.glob("*.pickle"))
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable))
    assert "2 trials: all finished" in app.run("x=1,2", SLURM, "hydra.launcher.dry_run=true").out
    done = app.run("x=1,2,5", SLURM)
    assert done.err.startswith("hydra/launcher=slurm needs Slurm's commands on this machine: sbatch was not found")


def test_a_signal_from_slurm_saves_and_queues_the_job_again(tmp_path, fake):
    warn = "if not (folder / 'steps').exists():\n    (folder / 'steps').touch()\n    os.kill(os.getppid(), 12)\n"
    app = App(tmp_path, warn + STEPS)
    done = app.run("seed=0", SLURM)
    assert done.code == 0, done.out + done.err
    assert "saved; queued again for the 1. time" in (fake / "0.log").read_text()
    (steps,) = (tmp_path / "out").glob("*/steps")
    assert steps.read_text().split() == [str(i) for i in range(1, 201)]
    done = app.run("seed=1", SLURM, "hydra.launcher.requeues=0")
    assert "Slurm job 7_0 ended as FAILED" in done.out
    assert "hydra.launcher.requeues=0" in (fake / "0.log").read_text()


def test_a_job_that_is_gone_is_a_failure_and_a_refusal_is_one_sentence(tmp_path, fake):
    app = App(tmp_path, "if cfg.x == 2:\n    os.kill(os.getppid(), 9)\n    time.sleep(9)\nreturn cfg.x")
    done = app.run("x=1,2", SLURM)
    assert done.code == 1
    assert f"failed: x=2: Slurm job 7_1 ended as FAILED, see {tmp_path}/out/slurm/" in done.out
    assert {result.get("value") for result in app.results().values()} == {1, None}
    (fake / "sbatch").write_text("#!/bin/bash\necho 'sbatch: error: invalid partition specified: b' >&2\nexit 1\n")
    done = app.run("x=2", SLURM, "hydra.launcher.partition=b")
    assert done.err.startswith("Slurm refused the sweep: invalid partition specified: b")
    assert len(list((tmp_path / "out" / "slurm").iterdir())) == 1


def test_ctrl_c_saves_the_trials_of_all_jobs(tmp_path, fake):
    app = App(tmp_path, STEPS)
    with app.start("seed=0,1", SLURM) as process:
        wait_for(lambda: len(list((tmp_path / "out").glob("*/steps"))) == 2)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "2 of 2 trials left. Run the same command to resume." in out
    assert all(int(path.read_text()) < 200 for path in (tmp_path / "out").glob("*/checkpoint.pt"))
    assert len(list((tmp_path / "out").glob("*/checkpoint.pt"))) == 2
