"""One trial on several ranks, in real processes: the losses, evaluation and files of one process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rdrop_exp.config.checks import from_dict
from rdrop_exp.data.shard import Shard
from rdrop_exp.runs.folder import read_items, read_result, read_rows
from rdrop_exp.train import trial
from tests.conftest import SMALL, VIT, folder_of, merged
from tests.tasks.helpers import LANGUAGE, TEXT
from tests.tasks.test_seq2seq import OPTIONS as PAIRS
from tests.train import ranks
from tests.train.ranks import Job

SHORT: dict[str, Any] = {"logger": {"every": 1}, "schedule": {"steps": 6}, "dataset": {"limit": 3}}
IMAGES = merged(VIT, SHORT)
MIXED = {"mixup": 0.8, "cutmix": 1.0, "label_smoothing": 0.1, "crop": 1, "flip": True, "erase": 0.25}
NOISY: dict[str, Any] = {"regularizer": {"dropout": 0.2, "drop_path": 0.2, "alpha": 1.0}}
PLAIN: dict[str, dict[str, Any]] = {
    "vit": merged(IMAGES, {"optimizer": {"accumulate": 2, "clip": 1.0, "ema": 0.9}}),
    "mixed": merged(IMAGES, {"dataset": MIXED}),
    "resnet": merged(SMALL, SHORT, {"optimizer": {"name": "sgd", "lr": 0.05}}),
    "language": merged(LANGUAGE, SHORT, {"optimizer": {"accumulate": 2, "batch_size": 32}}),
    "text": merged(TEXT, SHORT, {"optimizer": {"batch_tokens": 64}}),  # of two items some, which not every rank gets
}
"""Without noise, so that a trial does not depend on the number of ranks."""
OWN = merged(PLAIN["resnet"], {"sync_batchnorm": False})
SMALLER = {"patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2}
FURTHER: dict[str, dict[str, Any]] = {
    "pairs": merged(PAIRS, {"logger": {"every": 1}, "regularizer": {"dropout": 0.0}}),
    "streamed": merged(IMAGES, {"dataset": {"resident": False, "workers": 1, "mixup": 0.4}}),
    "mutual": merged(
        IMAGES, {"peer": {"name": "vit_tiny_patch16_224", "args": SMALLER}, "regularizer": {"alpha": 0.6}}
    ),
    "analysis": merged(IMAGES, {"analysis": {"every": 3, "batches": 2}}),
}


TINY = ["model=vit_micro_8", "model.args.embed_dim=16", "model.args.depth=1", "model.args.num_heads=2", "logger=local"]


def place(options: dict[str, Any], folder: Path, name: str) -> dict[str, Any]:
    return merged(options, {"output_dir": str(folder), "name": name})


def rows(options: dict[str, Any]) -> list[dict[str, float]]:
    found = read_rows(folder_of(from_dict(options)))
    return [{k: v for k, v in row.items() if not k.endswith(("per_second", "/seconds"))} for row in found]


def check_same(one: dict[str, Any], several: dict[str, Any], ranks: int) -> None:
    """Every number of every row within 1e-6 (relative to what is above 1), and the same outcome of every item."""
    expected, found = rows(one), rows(several)
    assert len(expected) >= 2
    for a, b in zip(expected, found, strict=True):
        assert b == pytest.approx(a, rel=5e-6, abs=2e-6)
    folders = [folder_of(from_dict(options)) for options in (one, several)]
    results = [read_result(folder) for folder in folders]
    assert results[0]["identity"] == results[1]["identity"]
    assert (results[0].get("ranks"), results[1]["ranks"]) == (None, ranks)
    assert results[1]["metrics"] == pytest.approx(results[0]["metrics"], rel=1e-5, abs=1e-6)
    items = [read_items(folder) for folder in folders]
    for name in ("val", "test"):
        np.testing.assert_allclose(items[1][name], items[0][name], rtol=1e-5)
    texts = [(folder / "generated.jsonl") for folder in folders]
    assert texts[0].exists() == texts[1].exists()
    assert not texts[0].exists() or texts[0].read_text() == texts[1].read_text()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def alone(root: Path) -> Path:
    """The trials of one process."""
    for name, options in PLAIN.items():
        trial.run(from_dict(place(options, root / "alone", name)))
    return root / "alone"


@pytest.fixture(scope="module")
def pair(root: Path) -> list[str]:
    """What two ranks print, of which the second is stopped twice."""
    folder = root / "pair"
    noisy = merged(IMAGES, NOISY)
    jobs = [Job(place(options, folder, name)) for name, options in PLAIN.items() if name != "mixed"]
    jobs += [Job(place(merged(IMAGES, {"optimizer": {"batch_size": 1}}), folder, "refused"))]
    jobs += [Job(place(noisy, folder, "noisy"))] + [Job(place(noisy, folder, "resumed"), stop) for stop in (3, 0)]
    jobs += [Job(place(PLAIN["mixed"], folder, "mixed"), 4), Job(place(OWN, folder, "own"))]
    return ranks.run(folder, 2, jobs)


@pytest.fixture(scope="module")
def three(root: Path, pair: list[str]) -> list[str]:
    folder = root / "three"
    jobs = [Job(place(PLAIN[name], folder, name)) for name in ("vit", "text")]
    return ranks.run(folder, 3, [*jobs, Job(place(PLAIN["mixed"], root / "pair", "mixed"))])


@pytest.mark.parametrize("name", ["vit", "resnet", "language", "text"])
def test_two_ranks_train_as_one_process(root: Path, alone: Path, pair: list[str], name: str) -> None:
    check_same(place(PLAIN[name], alone, name), place(PLAIN[name], root / "pair", name), 2)


def test_batchnorm_by_each_ranks_part_is_another_batchnorm(root: Path, alone: Path, pair: list[str]) -> None:
    one, own = rows(place(PLAIN["resnet"], alone, "resnet")), rows(place(OWN, root / "pair", "own"))
    assert abs(own[0]["train/loss"] - one[0]["train/loss"]) > 1e-4
    assert own[0]["train/loss"] == pytest.approx(one[0]["train/loss"], rel=0.1)


@pytest.mark.parametrize("name", ["vit", "text"])
def test_three_ranks_train_as_one_process(root: Path, alone: Path, three: list[str], name: str) -> None:
    check_same(place(PLAIN[name], alone, name), place(PLAIN[name], root / "three", name), 3)


def test_a_trial_stopped_on_two_ranks_resumes_on_three(root: Path, alone: Path, three: list[str]) -> None:
    check_same(place(PLAIN["mixed"], alone, "mixed"), place(PLAIN["mixed"], root / "pair", "mixed"), 3)
    assert "resuming from step 4" in three[0]


def test_noise_is_reproducible_and_resumes_bit_for_bit(root: Path, pair: list[str]) -> None:
    noisy, resumed = (place(merged(IMAGES, NOISY), root / "pair", name) for name in ("noisy", "resumed"))
    assert "Stopped by SIGTERM and saved after step 3." in pair[0]
    assert [text.count("ended with 143") for text in pair] == [2, 2]
    assert rows(noisy) == rows(resumed)
    items = [folder_of(from_dict(options)) / "items.npz" for options in (noisy, resumed)]
    assert items[0].read_bytes() == items[1].read_bytes()
    trial.run(from_dict(place(noisy, root / "alone", "noisy")))
    one = rows(place(noisy, root / "alone", "noisy"))
    assert one[0]["train/loss"] != rows(noisy)[0]["train/loss"]  # the second rank draws noise of its own
    assert one[0]["train/loss"] == pytest.approx(rows(noisy)[0]["train/loss"], rel=0.1)


def test_the_first_rank_alone_reports(root: Path, pair: list[str]) -> None:
    assert "optimizer.batch_size=1: this trial has 2 ranks" in pair[0]
    assert pair[1].replace("ended with 143\n", "") == ""
    assert not (root / "pair" / "refused").exists()


def test_a_killed_rank_ends_the_trial_which_then_resumes(root: Path) -> None:
    folder = root / "killed"
    values = place(merged(VIT, {"schedule": {"steps": 150}, "checkpoint_seconds": 0}), folder, "killed")
    processes = ranks.start(folder, 2, [Job(values)])
    metrics = folder_of(from_dict(values)) / "metrics.jsonl"
    while not (metrics.is_file() and metrics.stat().st_size):
        assert all(process.is_alive() for process in processes)
        time.sleep(0.02)
    pid, began = processes[1].pid, time.monotonic()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert ranks.wait(processes, 30.0) == [1, -signal.SIGKILL]
    assert time.monotonic() - began < 30
    sentence = "rank 1 of this trial was killed; run the same command to resume"
    assert (folder / "rank0.txt").read_text().splitlines()[-1] == f"LostRank: {sentence}"
    assert read_result(metrics.parent)["error"] == sentence
    result = trial.run(from_dict(values))
    assert result is not None
    assert result["status"] == "finished"
    assert "resuming from step" in (metrics.parent / "log.txt").read_text()
    assert "ranks" not in result


@pytest.mark.slow
def test_other_tasks_data_and_analysis_on_two_ranks(root: Path) -> None:
    from rdrop_exp.analysis.online import make_analysis

    ranks.run(root / "further", 2, [Job(place(options, root / "further", name)) for name, options in FURTHER.items()])
    for name, options in FURTHER.items():
        one = place(options, root / "alone", name)
        trial.run(from_dict(one), "", make_analysis)
        check_same(one, place(options, root / "further", name), 2)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_torchrun_stops_and_resumes(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "rdrop_exp"]
    command += [*TINY, "regularizer=rdrop", "schedule.steps=300"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    files: dict[str, Any] = {"cwd": tmp_path, "env": environment, "text": True, "start_new_session": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **files) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("epoch 1"):
                os.killpg(process.pid, number)  # as the terminal does
    text = "".join(lines)
    assert text.count(f"Stopped by {signal.Signals(number).name} and saved after step") == 1
    done = subprocess.run(command, capture_output=True, **files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resuming from step" in done.stdout
    assert done.stdout.count("test accuracy") == 1


@pytest.mark.slow
def test_a_sweep_of_trials_on_two_ranks(tmp_path: Path) -> None:
    base = [sys.executable, "-m", "rdrop_exp", "-m", "seed=0,1", *TINY, "schedule.epochs=1"]
    base += ["hydra.launcher.gpus=0", "hydra.launcher.slots=1"]
    found = {}
    for count in (1, 2):
        words = [f"hydra.launcher.ranks_per_trial={count}", f"name=r{count}"]
        done = subprocess.run([*base, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        results = [json.loads(path.read_text()) for path in (tmp_path / "outputs" / f"r{count}").glob("*/result.json")]
        found[count] = {result["identity"]: result["metrics"]["train/loss"] for result in results}
        assert {result.get("ranks", 1) for result in results} == {count}
    assert found[2] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 7, 128])
def test_parts_of_a_batch_make_it_up(ranks: int, count: int) -> None:
    shards, batch = [Shard(rank, ranks) for rank in range(ranks)], torch.arange(count)
    parts = [batch[shard.rows(count)] for shard in shards]
    assert torch.equal(torch.cat(parts), batch)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    batches = [batch, batch[:5] + 200]
    evaluated = [torch.cat([batch[:0], *shard.evaluated(batches)]).tolist() for shard in shards]
    whole = torch.cat(batches).tolist()
    assert evaluated == [whole[rank::ranks] for rank in range(ranks)]
