"""Rows of metrics while training: means over the steps since the last row, and the time that they took."""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from rdrop_exp.config.options import Options
from rdrop_exp.tasks.task import Task
from rdrop_exp.train.evaluate import Row
from rdrop_exp.train.state import COLUMNS, Progress, State


class TrainingError(RuntimeError):
    """Training cannot go on; the message is one sentence that says at which step and what to change."""


class Stopwatch:
    """Seconds since it was started, without those while it was paused."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self.began


@contextmanager
def paused(*watches: Stopwatch) -> Iterator[None]:
    before = time.monotonic()
    yield
    for watch in watches:
        watch.began += time.monotonic() - before


def position(step: int, per_epoch: int, total: int) -> Row:
    """Where in training a row belongs."""
    return {"step": step, "epoch": step / per_epoch, "progress": step / total}


def log_interval(o: Options, task: Task, state: State, units: float, since_row: Stopwatch) -> Row:
    """Means over the steps since the last row; waits for the device. `TrainingError` where a loss is not finite."""
    p = state.progress
    steps = p.step - p.logged
    rows = state.history[:steps].tolist()
    check_finite(o, state.history.device, rows, p.logged)
    seconds = since_row.seconds()
    means = [math.fsum(column) / steps for column in zip(*rows, strict=True)]
    p.train_seconds += seconds
    p.epoch_sums = [a + b * steps for a, b in zip(p.epoch_sums, means, strict=True)]
    p.logged = p.step
    return columns(task, means) | {f"{task.unit}_per_second": steps * units / seconds}


def columns(task: Task, values: Iterable[float]) -> Row:
    """The values of a step, by name."""
    names = ("loss", task.loss, "consistency", task.column)
    return {f"train/{name}": value for name, value in zip(names, values, strict=True) if name}


def end_epoch(task: Task, p: Progress) -> None:
    """The epoch's means become the trial's training metrics."""
    steps = p.step - p.epoch_start
    p.metrics |= columns(task, (x / steps for x in p.epoch_sums))
    p.epoch_sums, p.epoch_start = [0.0] * COLUMNS, p.step


def check_finite(o: Options, device: torch.device, rows: list[list[float]], first: int) -> None:
    """`TrainingError` with the first step whose loss is not finite, and the option most likely to blame."""
    for i, (total, task, consistency, _) in enumerate(rows):
        if math.isfinite(total):
            continue
        before = rows[i - 1] if i else None
        if math.isfinite(task) and not math.isfinite(consistency):
            blame = f"regularizer.alpha={o.regularizer.alpha:g} (a smaller weight)"
        elif before and o.regularizer.alpha * before[2] > 10 * before[1]:
            blame = f"regularizer.alpha={o.regularizer.alpha:g} (the consistency loss outweighed the rest)"
        elif o.precision == "fp16":
            blame = "precision=fp16 (bf16 has the range of fp32)"
        elif o.precision == "bf16" and device.type == "cpu":
            blame = "precision=bf16 (on a CPU torch's convolutions can read uninitialised memory in it)"
        else:
            help_with = "" if o.optimizer.clip else ", or clip gradients with optimizer.clip=1"
            blame = f"optimizer.lr={o.optimizer.lr:g} (a smaller one, a longer warm-up{help_with})"
        raise TrainingError(f"the loss became {total} at step {first + i + 1}; most likely to change: {blame}")
