"""A fault at every file operation of a trial, one at a time: run again, it ends as the undisturbed one, bit for bit.

make test-faults        or: python -m pytest -m faults tests/faults; its figures stand in docs/reliability.md
"""

import json
import random
import re
import shutil
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from rdrop_exp.train import checkpoint
from tests.conftest import VIT, merged
from tests.faults.injection import Fault
from tests.faults.trial import Ended, run
from tests.warm import Warm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names open files through /proc")

OPTIONS = merged(
    VIT,
    {
        "model": {"args": {"patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 1}},
        "schedule": {"epochs": 2},
        "dataset": {"limit": 2},
        "optimizer": {"batch_size": 32, "ema": 0.9},
        "regularizer": {"dropout": 0.2, "alpha": 1.0},
        "logger": {"every": 1},
        "checkpoint_seconds": 0,
    },
)
"""A trial of four steps, each with a row of metrics and a checkpoint, in two epochs."""
TIMES = ("seconds", "images_per_second")


def without_times(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in TIMES}


def everything(folder: Path) -> dict[str, Any]:
    """All that a trial below `folder` has left, without times; of its log only that it is there."""
    (trial,) = (folder / "outputs/default").iterdir()
    left: dict[str, Any] = {}
    for path in sorted(trial.iterdir()):
        if path.suffix == ".json":
            left[path.name] = without_times(json.loads(path.read_text()))
        elif path.suffix == ".jsonl":
            left[path.name] = [without_times(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.suffix == ".npz":
            left[path.name] = path.read_bytes()
        elif path.suffix == ".pt":
            saved = checkpoint.load(trial, torch.device("cpu"))
            assert saved is not None
            weights = {name: value.numpy().tobytes() for name, value in saved.get("model", {}).items()}
            left[path.name] = {"identity": saved["identity"], "weights": weights}
            left[path.name] |= {"result": without_times(saved["result"]) if "result" in saved else None}
        else:
            name = "claim.N" if path.name.startswith("claim.") else path.name  # the number counts processes
            left[name] = path.read_text() if path.suffix == ".yaml" else True
    return left


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A trial that ran without a fault."""

    options: dict[str, Any]
    operations: list[str]
    left: dict[str, Any]

    def saved_before(self, at: int) -> int:
        """The step of the newest checkpoint when that operation comes: there is one a step, and one of the outcome."""
        return self.operations[: at - 1].count("replace checkpoint.pt")


def undisturbed(warm: Warm, folder: Path, options: dict[str, Any]) -> Undisturbed:
    ended = run(warm, folder, options)
    assert ended.code == 0, ended.errors
    return Undisturbed(options, ended.operations, everything(folder))


def disturb(warm: Warm, folder: Path, base: Undisturbed, fault: Fault, at: int) -> tuple[Ended, Ended]:
    """Run with the fault, then again without; assert that nothing was lost and nothing differs."""
    first = run(warm, folder, base.options, fault, at)
    if fault in (Fault.KILL, Fault.TORN):
        assert first.code == -signal.SIGKILL
    else:  # some failures do no harm, such as that of writing who holds the lock
        assert first.code in (0, 1), first.errors
        lines = first.errors.splitlines()
        assert len(lines) == first.code, "a failure is said in one line"
        assert all("No space left on device" in line for line in lines), lines
    again = run(warm, folder, base.options)
    where = f"{fault} at operation {at}: {base.operations[at - 1]}"
    assert again.code == 0, f"{where}\n{again.errors}"
    assert everything(folder) == base.left, where
    if "Already finished" not in again.output:
        resumed = re.search(r"resuming from step (\d+)", again.output)
        saved = base.saved_before(at)
        assert (int(resumed[1]) if resumed else 0 if "parameters" in again.output else 5) == saved, where
    shutil.rmtree(folder)
    return first, again


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_at_some_operations_loses_nothing(warm: Warm, tmp_path: Path, fault: Fault) -> None:
    base = undisturbed(warm, tmp_path / "undisturbed", OPTIONS)
    count = len(base.operations)
    for number in range(3):  # other operations for each kind of fault
        at = 1 + round((number + list(Fault).index(fault) / len(Fault)) * (count - 1) / 3)
        disturb(warm, tmp_path / str(at), base, fault, at)


def test_the_operations_are_those_that_matter(warm: Warm, tmp_path: Path) -> None:
    """The harness would pass if it noticed nothing: each file is opened, written, synced and renamed in its order."""
    operations = undisturbed(warm, tmp_path, OPTIONS).operations
    names = ("config.yaml", "trial.json", "code.diff", "environment.txt", "checkpoint.pt", "items.npz", "result.json")
    renames = [operation for operation in operations if operation.startswith("replace")]
    resave = ["replace checkpoint.previous.pt", "replace checkpoint.pt"]
    saves = ["replace checkpoint.pt", *resave * 3, "replace items.npz", *resave]
    start = [f"replace {name}" for name in names[:4]]
    assert renames == [*start, *saves, "replace result.json"]
    for name in names:
        steps = [f"{verb} {name}.partial" for verb in ("open", "write", "fsync")] + [f"replace {name}"]
        places = [operations.index(step) for step in steps]
        assert places == sorted(places)
    assert operations.count("write metrics.jsonl") == 4
    assert {"mkdir outputs", "open claim", "unlink checkpoint.previous.pt"} <= set(operations)


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("keep", [True, False], ids=["weights_kept", "weights_removed"])
def test_a_fault_at_every_operation_loses_nothing(
    warm: Warm, tmp_path: Path, keep: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    base = undisturbed(warm, tmp_path / "undisturbed", OPTIONS | {"keep_weights": keep})
    counts: Counter[str] = Counter()
    for fault in Fault:
        for at, operation in enumerate(base.operations, 1):
            if fault != Fault.TORN or operation.startswith("write"):
                disturb(warm, tmp_path / f"{fault}-{at}", base, fault, at)
                counts[fault] += 1
    with capsys.disabled():
        injected = ", ".join(f"{count} {fault}" for fault, count in counts.items())
        print(f"\nkeep_weights={keep}: {len(base.operations)} operations; {injected}: 0 lost, 0 differing")


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_faults_in_a_row_lose_nothing(warm: Warm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Up to five faults, at random operations of the same trial: also while it recovers from the one before."""
    dice, injected = random.Random(0), 0
    base = undisturbed(warm, tmp_path / "undisturbed", OPTIONS)
    for number in range(60):
        folder = tmp_path / str(number)
        for _ in range(5):
            ended = run(warm, folder, base.options, dice.choice(list(Fault)), dice.randint(1, len(base.operations)))
            injected += ended.code != 0
            if ended.code == 0 and "Already finished" in ended.output:
                break
        again = run(warm, folder, base.options)
        assert again.code == 0, again.errors
        assert everything(folder) == base.left
        shutil.rmtree(folder)
    with capsys.disabled():
        print(f"\n60 trials, {injected} faults: 0 lost, 0 differing")
