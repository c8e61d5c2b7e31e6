"""The runner: trials on slots, isolated from each other, tried again, skipped where finished, stopped without loss."""

import errno
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus

from hydra_slots import PlannedTrial
from hydra_slots.eta import remaining
from hydra_slots.pickling import dumps
from hydra_slots.protocol import last_row, read_result
from hydra_slots.queue import TrialQueue
from hydra_slots.sweep_plan import Job
from tests.conftest import ROOT
from tests.foreign import CONFIG, App

TRIES = """
with open(folder / "tries", "a") as file:
    file.write(f"{os.getpid()}\\n")
tries = len((folder / "tries").read_text().split())
"""

TROUBLE = (
    TRIES
    + """
if cfg.x == "raises" or (cfg.x == "flaky" and tries == 1):
    raise ValueError("broken on purpose")
if cfg.x == "dies" and tries == 1:
    os.kill(os.getpid(), 9)
if cfg.x == "exits":
    os._exit(3)
if cfg.x == "memory" and cfg.accumulate < 2:
    raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
if cfg.x == "option":
    error = ValueError("x=option is not a choice; did you mean fine?")
    error.option_error = True
    raise error
if cfg.x == "hangs":
    time.sleep(60)
print("said by", cfg.x, flush=True)
os.system("echo said by a child")
return [str(cfg.x), cfg.accumulate, tries]
"""
)

STEPS = """
state = folder / "checkpoint.pt"
step = int(state.read_text()) if state.exists() else 0
try:
    while step < 200:
        time.sleep(0.02)
        step += 1
        with open(folder / "steps", "a") as file:
            file.write(f"{step} ")
        with open(folder / "metrics.jsonl", "a") as file:
            file.write('{"progress": %f}\\n' % (step / 200))
finally:
    state.write_text(str(step))
return step
"""


def tries(app, out="out"):
    """How often each trial was started, by its identity."""
    return {path.parent.name: len(path.read_text().split()) for path in (app.folder / out).glob("*/tries")}


def wait_for(condition, seconds=60):
    """Wait until `condition()` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def test_every_kind_of_trouble_is_isolated_told_and_run_again(tmp_path):
    app = App(tmp_path, TROUBLE)
    words = ["x=fine,raises,flaky,dies,exits,memory,option,hangs", "hydra.launcher.accumulate_key=accumulate"]
    done = app.run(*words, "hydra.launcher.timeout=2", "hydra.launcher.grace=5")
    assert done.code == 1
    results = {r.get("name", (r.get("value") or ["?"])[0]): r for r in app.results().values()}
    finished = {name: r["value"] for name, r in results.items() if r["status"] == "finished"}
    assert finished == {
        "fine": ["fine", 1, 1],
        "flaky": ["flaky", 1, 2],
        "dies": ["dies", 1, 2],
        "memory": ["memory", 2, 2],
    }
    failed = {name: r["error"] for name, r in results.items() if r["status"] == "failed"}
    assert failed == {
        "x=raises": "ValueError: broken on purpose",
        "x=exits": "process exited with code 3",
        "x=option": "x=option is not a choice; did you mean fine?",
        "x=hangs": "timed out after hydra.launcher.timeout=2 seconds",
    }
    for name, reason in failed.items():
        assert f"failed: {name}: {reason}\n  log: {app.folder}/out/" in done.out
    assert "4 of 8 trials failed" in done.err
    assert "retrying x=dies: process killed by SIGKILL" in done.out
    assert (
        "retrying x=memory: RuntimeError: CUDA out of memory. Tried to allocate 20.00 GiB (with accumulate=1)"
        in done.out
    )
    assert "retrying x=option" not in done.out
    log = next(p for p in (tmp_path / "out").glob("*/log.txt") if "x=fine" in p.read_text()).read_text()
    assert "said by fine\nsaid by a child\n" in log
    log = next(p for p in (tmp_path / "out").glob("*/log.txt") if "x=raises" in p.read_text()).read_text()
    assert log.count("ValueError: broken on purpose") == 2

    before = tries(app)
    done = app.run("x=fine,raises,dies,option", "hydra.launcher.retries=0")
    assert done.code == 1
    again = {results_name: count - before[results_name] for results_name, count in tries(app).items()}
    assert sorted(again.values()) == [0] * 6 + [1, 1]
    assert "2 finished, 2 to run on 2 workers" in done.out


def test_fail_fast_stops_at_the_first_failure(tmp_path):
    app = App(tmp_path, TRIES + "if cfg.x == 0:\n    raise ValueError('no')\ntime.sleep(0.2)\nreturn cfg.x")
    done = app.run("x=range(0,20)", "hydra.launcher.fail_fast=true", "hydra.launcher.retries=0")
    assert done.code == 1
    assert "failed: x=0: ValueError: no" in done.out
    assert 1 <= len(tries(app)) < 20
    assert "1 of 20 trials failed, " in done.err
    assert " did not finish" in done.err
    assert done.err.count("failed") == 1


def test_gpus_are_given_to_workers_one_each_and_threads_with_them(tmp_path):
    body = (
        'time.sleep(0.3)\nreturn [os.environ[k] for k in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")] + [os.getpid()]'
    )
    app = App(tmp_path, body)
    pool = ["hydra.launcher.gpus=[3,5]", "hydra.launcher.per_gpu=2", "hydra.launcher.slots=null"]
    done = app.run("x=range(0,12)", *pool, "hydra.launcher.threads=2")
    assert done.code == 0
    assert "on 4 workers" in done.out
    seen = {tuple(value) for value in app.values()}
    assert {gpu for gpu, _, _ in seen} == {"3", "5"}
    assert {threads for _, threads, _ in seen} == {"2"}
    workers = {pid: {gpu for gpu, _, p in seen if p == pid} for _, _, pid in seen}
    assert len(workers) == 4
    assert all(len(gpus) == 1 for gpus in workers.values())
    assert sorted(gpu for gpus in workers.values() for gpu in gpus) == ["3", "3", "5", "5"]


def test_a_trial_of_several_processes_runs_in_each_and_its_first_one_answers(tmp_path):
    body = """
ranks = [os.environ[k] for k in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "CUDA_VISIBLE_DEVICES")]
with open(folder / f"rank{ranks[0]}", "a") as file:
    file.write(f"{os.getpid()} ")
if cfg.x == 1 and ranks[0] == "1" and len((folder / "rank1").read_text().split()) == 1:
    os.kill(os.getpid(), 9)
while not (folder / "rank1").exists() or (cfg.x == 1 and len((folder / "rank1").read_text().split()) == 1):
    time.sleep(0.01)  # as a collective operation waits
return [*ranks, os.environ["MASTER_PORT"], os.getpid()]
"""
    app = App(tmp_path, body)
    pool = ["hydra.launcher.gpus=[3,5,6]", "hydra.launcher.ranks_per_trial=2", "hydra.launcher.slots=null"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hydra_slots.team.GRACE", 0.5)
        done = app.run("x=0,1,2", *pool)
    assert done.code == 0, done.out
    assert "on 1 worker" in done.out
    assert "retrying x=1: process killed by SIGKILL" in done.out
    assert [value[:4] for value in app.values()] == [["0", "0", "2", "3,5"]] * 3
    pids = [path.read_text().split() for path in (tmp_path / "out").glob("*/rank?")]
    assert sorted(map(len, pids)) == [1, 1, 1, 1, 2, 2]
    logs = [path.read_text() for path in (tmp_path / "out").glob("*/log.txt")]
    assert sorted(log.count("# ") for log in logs) == [1, 1, 2]


def test_workers_stay_warm_and_the_longest_trial_is_first(tmp_path):
    app = App(tmp_path, "return [os.getpid(), time.time()]", CONFIG + "  sweeper: {describe: 'sized:describe'}\n")
    (tmp_path / "sized.py").write_text(
        "from hydra_slots import PlannedTrial\n"
        "def describe(cfg):\n    return PlannedTrial(str(cfg.x), f'out/{cfg.x}', str(cfg.x), work=cfg.x)\n"
        "def report(folders):\n    print('all:', *(f.rsplit('/')[-1] for f in folders))\n"
    )
    body = "import json\n(folder / 'result.json').write_text(json.dumps({'status': 'finished', 'value': time.time()}))"
    app = App(tmp_path / "own", body + "\nreturn os.getpid()", CONFIG + "  sweeper: {describe: 'sized:describe'}\n")
    (tmp_path / "own" / "sized.py").write_text((tmp_path / "sized.py").read_text())
    done = app.run("x=2,9,4,1", "hydra.launcher.slots=1", "hydra.sweeper.summary=sized:report")
    assert done.code == 0
    assert [line.split()[2] for line in done.out.splitlines() if "] finished" in line] == ["9", "4", "2", "1"]
    assert "all: 2 9 4 1" in done.out
    logs = "".join(path.read_text() for path in (tmp_path / "own" / "out").glob("*/log.txt"))
    assert len({line.split(" pid ")[1].split(":")[0] for line in logs.splitlines() if line.startswith("# ")}) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_stops_with_checkpoints_and_the_same_command_goes_on(tmp_path, number, code):
    app = App(tmp_path, STEPS)
    with app.start("seed=0,1") as process:
        wait_for(lambda: len(list((tmp_path / "out").glob("*/steps"))) == 2)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does; the workers are not in this group
        else:
            process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == code, out
    assert "2 of 2 trials left. Run the same command to resume." in out
    assert all(int(path.read_text()) < 200 for path in (tmp_path / "out").glob("*/checkpoint.pt"))
    done = app.run("seed=0,1")
    assert done.code == 0
    assert "2 to resume" in done.out
    assert app.values() == [200, 200]
    for path in (tmp_path / "out").glob("*/steps"):
        assert path.read_text().split() == [str(i) for i in range(1, 201)]


def test_a_second_ctrl_c_kills(tmp_path):
    body = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n(folder / 'here').touch()\ntime.sleep(60)"
    app = App(tmp_path, body)
    with app.start("seed=0,1") as process:
        wait_for(lambda: len(list((tmp_path / "out").glob("*/here"))) == 2)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert any("Ctrl-C again" in line for line in iter(process.stdout.readline, ""))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert not app.results()


def test_workers_stop_when_their_runner_is_killed_and_leave_no_temporary_file(tmp_path, monkeypatch):
    app = App(tmp_path, STEPS.replace("200", "20000"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    with app.start("seed=0,1") as process:
        wait_for(lambda: len(list((tmp_path / "out").glob("*/steps"))) == 2)
        process.kill()
        process.communicate(timeout=30)
    wait_for(lambda: len(list((tmp_path / "out").glob("*/checkpoint.pt"))) == 2)
    sizes = [path.stat().st_size for path in (tmp_path / "out").glob("*/steps")]
    time.sleep(0.2)
    assert sizes == [path.stat().st_size for path in (tmp_path / "out").glob("*/steps")]
    assert not list((tmp_path / "tmp").iterdir())


def test_two_runners_share_a_sweep(tmp_path):
    app = App(tmp_path, TRIES + "time.sleep(0.15)\nreturn cfg.x")
    words = ["x=range(0,12)", "hydra.launcher.slots=1"]
    with app.start(*words) as first, app.start(*words) as second:
        outs = [runner.communicate(timeout=60)[0] for runner in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outs
    assert sorted(app.values()) == list(range(12))
    assert set(tries(app).values()) == {1}
    assert "by another runner" in "".join(outs)


def test_what_another_runner_abandons_is_taken_over(tmp_path):
    app = App(tmp_path, STEPS)
    words = ["seed=0", "hydra.launcher.slots=1"]
    with app.start(*words) as first:
        wait_for(lambda: list((tmp_path / "out").glob("*/steps")))
        with app.start(*words) as second:
            time.sleep(0.5)
            first.kill()
            out, _ = second.communicate(timeout=60)
    assert second.returncode == 0, out
    (steps,) = (tmp_path / "out").glob("*/steps")
    assert steps.read_text().split() == [str(i) for i in range(1, 201)]


def test_hydras_own_launchers_find_the_same_results(tmp_path):
    app = App(tmp_path, TRIES + "print('hi')\nreturn cfg.x * 10 + cfg.seed")
    found = {}
    for launcher in ("slots", "basic", "joblib"):
        words = ["x=1,2,1", "reg=none,drop", "reg.alpha=1,2", f"hydra.sweep.dir={launcher}"]
        words += [f"hydra/launcher={launcher}"] if launcher != "slots" else []
        words += ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
        done = app.run(*words)
        assert done.code == 0, done.err
        found[launcher] = {name: (r["status"], r["value"]) for name, r in app.results(launcher).items()}
    assert app.run(*words, "hydra.sweep.dir=basic").code == 0  # joblib skips what basic has finished
    assert all(set(tries(app, launcher).values()) == {1} for launcher in found)
    assert found["slots"] == found["basic"] == found["joblib"]
    assert len(found["slots"]) == 2 * 3


def test_the_end_of_a_sweep_is_shown_after_any_launcher(tmp_path):
    hook = f"shown_{tmp_path.name}"
    body = "if cfg.x == 2:\n    raise ValueError(f'no {cfg.x}')\nif cfg.x == 9:\n    os._exit(9)\nreturn cfg.x"
    app = App(tmp_path, body)
    (tmp_path / f"{hook}.py").write_text("def report(folders):\n    print(len(folders), 'folders')\n")
    retries = "hydra.launcher.retries=0"
    for launcher, words in {"slots": [retries], "basic": [], "joblib": ["hydra.launcher.n_jobs=2"]}.items():
        words = [f"hydra/launcher={launcher}", f"hydra.sweep.dir={launcher}", *words]
        done = app.run("x=1,2,3", *words)
        assert done.code == 1
        assert "failed: x=2: ValueError: no 2" in done.out
        assert "1 of 3 trials failed" in done.err
        assert sum("/3] finished x=" in line for line in done.out.splitlines()) == 2
        ranking = [line.split() for line in done.out.splitlines() if line.startswith((" group", " x="))]
        assert ranking == [["group", "value", "sd", "n"], ["x=3", "3.0000", "1"], ["x=1", "1.0000", "1"]]
        done = app.run("x=1,3", f"hydra.sweeper.summary={hook}:report", *words)
        assert done.code == 0
        assert "2 trials: all finished\n" in done.out
        assert "2 folders" in done.out
        assert " group" not in done.out
    done = app.run("x=1,3,9", f"hydra.sweeper.summary={hook}:report", *words)  # joblib gives up where a worker dies
    assert done.code == 1
    assert "folders" in done.out
    assert "Terminated" in done.err


def test_another_sweeper_gets_its_returns_in_order_and_no_skipping(tmp_path):
    app = App(tmp_path, TRIES + "return cfg.x")
    for n in (1, 2):
        done = app.run("x=3,1,2", "hydra/sweeper=basic")
        assert done.code == 0, done.err
        assert done.out.startswith("3 trials: 3 to run on 2 workers\n")
        assert {line.partition("] ")[2].rpartition("  ")[0] for line in done.out.splitlines() if "/3]" in line} == {
            f"finished x={x}  value {x}" for x in (1, 2, 3)
        }
        assert tries(app) == {"0": n, "1": n, "2": n}
    assert not app.results()


def test_returns_come_in_the_order_of_the_plan(tmp_path, monkeypatch):
    from hydra_slots import ending

    seen: list[tuple[str, Any]] = []
    monkeypatch.setattr(
        ending, "show_end", lambda jobs, results, *_: seen.extend(zip([j.label for j in jobs], results, strict=True))
    )
    app = App(tmp_path, "if cfg.x == 2:\n    raise KeyError('two')\nreturn {'x': cfg.x}")
    app.run("x=1,2,3", "hydra.launcher.retries=0")
    app.run("x=3,1")
    assert [label for label, _ in seen] == ["x=1", "x=2", "x=3", "x=3", "x=1"]
    results = [result for _, result in seen]
    assert all(isinstance(result, JobReturn) for result in results)
    assert [r.return_value for r in results if r.status == JobStatus.COMPLETED] == [{"x": i} for i in (1, 3, 3, 1)]
    assert results[1].status == JobStatus.FAILED
    assert results[0].cfg.x == 1
    assert isinstance(results[1]._return_value, KeyError)


def test_tracebacks_of_the_main_program_have_file_names():
    def task():
        return lambda: 1

    copy = pickle.loads(dumps(task))
    assert copy is not task
    assert [copy.__code__.co_filename, copy().__code__.co_filename] == [__file__, __file__]


def test_a_worker_that_cannot_start_ends_the_sweep_with_its_words(tmp_path):
    app = App(tmp_path, "return 1")
    (tmp_path / f"{app.name}.py").write_text(
        (tmp_path / f"{app.name}.py").read_text() + "\nclass Odd:\n    def __reduce__(self): return (int, ('odd',))\n"
    )
    text = (tmp_path / f"{app.name}.py").read_text().replace("    return 1", "    return odd")
    (tmp_path / f"{app.name}.py").write_text(text + "\nodd = Odd()\nmain.__wrapped__.__globals__['odd'] = odd\n")
    done = app.run("x=1,2")
    assert done.code == 1
    assert "workers cannot start: " in done.err
    assert "invalid literal for int() with base 10: 'odd'" in done.err


def test_a_folder_that_cannot_be_used_fails_alone_and_a_damaged_result_is_run_again(tmp_path):
    hook = f"shown_{tmp_path.name}"
    app = App(tmp_path, "return cfg.x", sweeper={"summary": f"{hook}:report"})
    (tmp_path / f"{hook}.py").write_text("def report(folders):\n    print(len(folders), 'folders')\n")
    names = ["fine", "file", "claim", "result", "log", "list", "number"]
    words = [f"x={','.join(names)}", "hydra.launcher.retries=0"]
    assert app.run(*words).code == 0
    folders = {result["value"]: tmp_path / "out" / name for name, result in app.results().items()}
    for name in names:
        shutil.rmtree(folders[name])
    folders["file"].write_text("in the way")
    for name, entry in {"claim": "claim", "result": "result.json", "log": "log.txt"}.items():
        (folders[name] / entry).mkdir(parents=True)
    for name, damaged in {"list": "[]", "number": "3"}.items():
        folders[name].mkdir()
        (folders[name] / "result.json").write_text(damaged)
    done = app.run(*words)
    assert done.code == 1
    assert "4 of 7 trials failed" in done.err
    assert "6 folders" in done.out
    for name in ("file", "claim", "result", "log"):
        assert f"failed: x={name}: " in done.out
    assert f"failed: x=file: folder cannot be used: Not a directory: {folders['file']}/claim" in done.out
    finished = ("fine", "list", "number")
    assert [json.loads((folders[name] / "result.json").read_text())["value"] for name in finished] == list(finished)


def test_a_full_disk_does_not_end_the_runner(tmp_path, monkeypatch):
    from hydra_slots import queue, record

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(queue, "write_result", full)
    monkeypatch.setattr(record, "atomic_file", full)
    hook = f"full_{tmp_path.name}"
    body = "if cfg.x == 1:\n    raise ValueError('no')\nreturn cfg.x"
    app = App(tmp_path, body, sweeper={"summary": f"{hook}:report"})
    (tmp_path / f"{hook}.py").write_text("def report(folders):\n    raise OSError(28, 'No space left on device')\n")
    app.sweep("demo", "title: T\ngrids: [{overrides: {x: [1, 2, 3]}}]")
    done = app.run("hydra.sweeper.sweep=demo", "hydra.launcher.retries=0")
    assert done.code == 1
    assert "sweep.yaml could not be written: No space left" in done.out
    assert "the summary could not be written: [Errno 28] No space left" in done.out
    assert "failed: x=1: ValueError: no" in done.out
    assert sorted(app.values()) == [2, 3]


def test_a_reader_that_goes_away_does_not_end_the_runner(tmp_path):
    app = App(tmp_path, "return cfg.x")
    command = [sys.executable, f"{app.name}.py", "-m", "x=1,2,3,4,5", "hydra.launcher.slots=1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline()
        run.stdout.close()
        assert run.wait(timeout=60) == 0
    assert sorted(app.values()) == [1, 2, 3, 4, 5]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_terminal_that_takes_nothing_does_not_end_the_runner(tmp_path):
    app = App(tmp_path, "return cfg.x")
    command = [sys.executable, f"{app.name}.py", "-m", "x=1,2,3", "hydra.launcher.slots=1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with open("/dev/full", "w") as full:
        subprocess.run(command, cwd=tmp_path, env=environment, stdout=full, stderr=subprocess.DEVNULL)
    assert sorted(app.values()) == [1, 2, 3]


def test_a_full_gpu_is_waited_for(monkeypatch):
    from hydra_slots import pool
    from hydra_slots.devices import Slot
    from hydra_slots.options import SlotsConf

    messages: list[str] = []
    free = iter([100, 100, 5000])
    monkeypatch.setattr(pool, "free_memory", lambda gpu: next(free))
    one = pool.Pool([], SlotsConf(min_free_memory=1000, stagger=0), io.BytesIO(), messages.append)
    slot = Slot(0, "0", 1)
    assert not one.may_start(slot)
    assert not one.may_start(slot)  # without looking again at once
    one.check_memory_at[slot] = 0.0
    assert not one.may_start(slot)
    one.check_memory_at[slot] = 0.0
    assert one.may_start(slot)
    assert messages == ["worker 0 (GPU 0) is waiting for memory: 100 MiB free, hydra.launcher.min_free_memory=1000"]


HUGE = '{"status": "finished", "seconds": %s}' % ("9" * 400)


@pytest.mark.parametrize("text", ["[" * 100000, '{"status": "fini', HUGE, ""])
def test_a_damaged_file_is_no_more_than_missing(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    (tmp_path / "metrics.jsonl").write_text(text.replace("seconds", "progress") + "\n")
    job = Job(0, [], "", PlannedTrial("1", str(tmp_path), "name", "g"))
    assert remaining(job) == 1.0
    queue = TrialQueue([job], 0)
    assert queue.estimate.of(job.trial) is None
    assert queue.unfinished == (0 if "finished" in text else 1)


def test_a_pipe_in_place_of_a_result_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "result.json")
    assert read_result(tmp_path) == {}


def test_progress_is_the_last_complete_row(tmp_path):
    assert last_row(tmp_path) == {}
    (tmp_path / "metrics.jsonl").write_text('{"progress": 0.1}\n{"progress": 0.2}\n{"progr')
    assert last_row(tmp_path) == {"progress": 0.2}
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"progress": 1.0, "long": "x" * 20000}) + "\n")
    assert last_row(tmp_path) == {}
