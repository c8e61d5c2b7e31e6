"""A round as a sweep of rdrop-exp in a process of its own, and the speed of a trial."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdrop_exp.choose.setting import GivenSetting, standard_noise
from rdrop_exp.config.schema import OptionError
from rdrop_exp.tasks.choose import task_of

TIMED_STEPS = 32
LOG = "launcher.txt"
POLL = 1.0
"""Seconds between looks at a running round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialCost:
    """Speed measured over a few steps, and the work in a trial."""

    items_per_second: float
    startup: float
    """Seconds from starting a process to its first step."""
    steps: int
    batch_size: int
    evaluated: float
    """Items per trial in validation and test, forward only."""

    def seconds(self) -> float:
        """Of one trial; a forward pass is a third of a training step."""
        return (self.steps * self.batch_size + self.evaluated / 3) / self.items_per_second


def worker_slots(launcher: list[str]) -> list[Any]:
    """The slots that the launcher will use, given its overrides; `OptionError` for an unknown one."""
    import yaml  # type: ignore[import-untyped]

    from hydra_slots.devices import allocate
    from hydra_slots.options import SlotsConf, checked

    words = (word.removeprefix("hydra.launcher.").partition("=") for word in launcher)
    values = {name: yaml.safe_load(text) for name, _, text in words if "." not in name}
    try:
        o = checked(SlotsConf, values)
        return allocate(o.gpus, o.per_gpu, o.threads, o.slots, o.ranks_per_trial)
    except ValueError as error:
        raise OptionError(str(error)) from None


def command(setting: GivenSetting, *words: str) -> list[str]:
    """`rdrop-exp WORDS` in this environment, with the user's presets."""
    presets = ["--config-dir", str(setting.config_dir)] if setting.config_dir else []
    return [sys.executable, "-m", "rdrop_exp", *presets, *words]


def measure_cost(setting: GivenSetting) -> TrialCost:
    """Train a few noisy steps in a process of its own, on one slot; `OptionError` with its output if that fails."""
    o, slots = setting.o, worker_slots(setting.launcher)
    with tempfile.TemporaryDirectory() as folder:
        few = {"schedule.steps": TIMED_STEPS, "schedule.warmup_steps": 0, "dataset.limit": TIMED_STEPS}
        quiet = {"logger.wandb": "disabled", "name": "timing", "output_dir": folder, "keep_weights": "false"}
        words = setting.overrides | standard_noise(setting.noise) | few | quiet
        start = time.monotonic()
        process = subprocess.run(
            command(setting, *(f"{k}={v}" for k, v in words.items())),
            env=os.environ | slots[0].environment(), capture_output=True, text=True,
        )  # fmt: skip
        wall = time.monotonic() - start
        if process.returncode:
            output = process.stderr.strip() or process.stdout.strip()
            raise OptionError(f"a trial of {TIMED_STEPS} steps failed: {output}")
        (path,) = Path(folder).glob("timing/*/result.json")
        result = json.loads(path.read_text(encoding="utf-8"))
    steps, size = setting.steps, min(o.optimizer.batch_size, setting.sizes["train"])
    validations = max(1, math.ceil(steps / setting.per_epoch / o.validate_every))
    cap = 2 * size * o.dataset.limit if o.dataset.limit else math.inf
    return TrialCost(
        items_per_second=setting.items_per_unit * result[f"{task_of(o).unit}_per_second"],
        startup=max(0.0, wall - result["seconds"]),
        steps=steps,
        batch_size=size,
        evaluated=validations * min(cap, setting.sizes["validation"]) + min(cap, setting.sizes["test"]),
    )


def run_sweep(given: GivenSetting, folder: Path, name: str, sweep: dict[str, Any], look: Callable[[], None]) -> None:
    """Run a sweep of this name, which skips finished trials; `look` is called while it runs.

    What the launcher says goes to `folder/launcher.txt`. Ctrl-C and SIGTERM are handed on, and its trials saved.
    """
    write_sweep(folder / f"{name}.yaml", sweep)
    launcher = given.launcher
    if not any(word.startswith("hydra/launcher=") for word in launcher):
        launcher = [*launcher, "hydra.launcher.summary=null"]
    words = ["-m", f"sweep={name}", f"hydra.sweeper.folder='{folder}'", *launcher]
    log = folder / LOG
    with log.open("ab") as file:
        start = file.tell()
        process = subprocess.Popen(
            command(given, *words), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        while True:
            try:
                process.wait(POLL)
                break
            except subprocess.TimeoutExpired:
                look()
    except KeyboardInterrupt:
        _stop(process)
        raise
    said = log.read_bytes()[start:].decode("utf-8", "replace").splitlines()
    if process.returncode == 2:
        raise OptionError(f"the sweep was rejected: {said[-1] if said else 'see ' + str(log)}")
    for line in said:
        if re.match(r"\[\d+/\d+\] failed|retrying ", line):
            print(line, flush=True)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to save its trials; a second Ctrl-C kills them."""
    print("Stopping: running trials are saving checkpoints. Press Ctrl-C again to kill them.", flush=True)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()


def write_sweep(path: Path, content: dict[str, Any]) -> None:
    """A sweep file; overrides that are numbers are written as numbers."""
    import yaml  # type: ignore[import-untyped]

    def as_numbers(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: as_numbers(each) for key, each in value.items()}
        number = isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value)
        return yaml.safe_load(value) if number else value

    text = yaml.safe_dump(as_numbers(content), sort_keys=False, width=120, allow_unicode=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("# Written by rdrop-choose: a round of trials.\n" + text, encoding="utf-8")
