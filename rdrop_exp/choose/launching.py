"""A round as a sweep of rdrop-exp in a process of its own, and the speed of a trial."""

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
from rdrop_exp.runs.folder import read_result

TIMED_STEPS = 32
LOG = "launcher.txt"
POLL = 1.0
"""Seconds between looks at a running round."""


@dataclass(frozen=True, slots=True)
class TrialCost:
    """Of the given setting with standard noise, in seconds."""

    trial: float
    startup: float
    """From starting a process to its first step."""


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


def measure_cost(given: GivenSetting) -> TrialCost:
    """Train a few noisy steps in a process of its own, on one slot; `OptionError` with its output if that fails."""
    with tempfile.TemporaryDirectory() as folder:
        limit = min(given.o.dataset.limit or TIMED_STEPS, TIMED_STEPS)
        few = {"schedule.steps": TIMED_STEPS, "schedule.warmup_steps": 0, "dataset.limit": limit}
        quiet = {"logger.wandb": "disabled", "logger.every": TIMED_STEPS // 4, "keep_weights": "false"}
        here = {"name": "timing", "output_dir": folder}
        words = given.overrides | standard_noise(given.noise) | few | quiet | here
        start = time.monotonic()
        process = subprocess.run(
            command(given, *(f"{key}={value}" for key, value in words.items())),
            env=os.environ | worker_slots(given.launcher)[0].environment(), capture_output=True, text=True,
        )  # fmt: skip
        wall = time.monotonic() - start
        if process.returncode:
            output = process.stderr.strip() or process.stdout.strip()
            raise OptionError(f"a trial of {TIMED_STEPS} steps failed: {output}")
        (path,) = Path(folder).glob("timing/*/result.json")
        return cost(given, path.parent, limit, wall)


def cost(given: GivenSetting, folder: Path, limit: int, wall: float) -> TrialCost:
    """From a trial of `TIMED_STEPS`, with `dataset.limit`, that took `wall` seconds with its start-up.

    Its first steps are left out: a new process takes longer for them than a warm worker.
    """
    from rdrop_exp.report.throughput import steady_throughput

    result, unit = read_result(folder), given.task.unit
    speed = steady_throughput(str(folder), unit)
    assert result is not None
    assert speed is not None
    timed = TIMED_STEPS * given.units_per_step / result[f"{unit}_per_second"]
    share = given.evaluated(given.steps, given.o.dataset.limit) / given.evaluated(TIMED_STEPS, limit)
    evaluation = max(0.0, result["seconds"] - timed) * share
    return TrialCost(given.steps * given.units_per_step / speed + evaluation, max(0.0, wall - result["seconds"]))


def run_sweep(given: GivenSetting, folder: Path, name: str, sweep: dict[str, Any], look: Callable[[], None]) -> None:
    """Run a sweep of this name, which skips finished trials; `look` is called while it runs.

    What the launcher says goes to `folder/launcher.txt`. Ctrl-C and SIGTERM are handed on, and its trials saved.
    """
    write_sweep(folder / f"{name}.yaml", sweep)
    words = ["-m", f"sweep={name}", f"hydra.sweeper.folder='{folder}'", "hydra.sweeper.summary=null", *given.launcher]
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
