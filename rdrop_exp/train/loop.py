"""The training loop: from options, data and a network to metrics, resumable at any step.

Everything random is a function of (seed, step): the data by itself, the noise by reseeding torch at every step. So a
trial that was stopped goes on bit for bit from its `State`.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from rdrop_exp.config.options import Options
from rdrop_exp.config.schedules import learning_rate
from rdrop_exp.data.batch import Batch, Data, items, split
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.seeds import derive_seed
from rdrop_exp.tasks.meters import correct
from rdrop_exp.tasks.task import Task
from rdrop_exp.train.compile import begin_forward, compiled
from rdrop_exp.train.evaluate import Row, evaluate
from rdrop_exp.train.monte_carlo import monte_carlo
from rdrop_exp.train.setup import Setup
from rdrop_exp.train.state import COLUMNS, Progress, State, copied
from rdrop_exp.train.step import StepPlan, autocast, batch_loss, num_networks, seed_noise, step_plan

CheckpointHook = Callable[[Progress, Callable[[], dict[str, Any]]], None]


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


def train(
    setup: Setup,
    saved: dict[str, Any] | None,
    log: Callable[[Row], int],
    checkpoint_hook: CheckpointHook,
    analyse: Callable[[int], Row] | None = None,
) -> tuple[Progress, dict[str, Tensor], list[dict[str, str]]]:
    """Train from the saved checkpoint, or the start, to the end; then test the chosen weights, which stay in `network`.

    Returns also their values on each "val" and "test" item ("val" is missing after a checkpoint of earlier versions),
    and what they generate on test, as `Meter.generated`.

    `log` writes a row of metrics and returns the size of its file. `checkpoint_hook(progress, state_dict)` is called
    after each step and may save what `state_dict()` returns; it stops training by raising.
    `analyse(step)` measures the network every `analysis.every` steps and leaves it as it was.
    """
    o, network, noise, data, device = setup.options, setup.network, setup.noise, setup.data, setup.device
    task, per_epoch, total = setup.task, data.steps_per_epoch, setup.total_steps
    units = task.units_per_step(o, data)
    state = State.initial(o, network, device, min(o.logger.every, per_epoch))
    if saved:
        state.load_state_dict(saved)
    p, earlier = state.progress, state.progress.seconds
    forward = compiled(network, o.compile_mode) if o.compile else network
    since_start, since_row = Stopwatch(), Stopwatch()

    def state_dict() -> dict[str, Any]:
        p.seconds = earlier + since_start.seconds()
        return state.state_dict()

    batches = data.train(*divmod(p.step, per_epoch))
    p.ended = p.ended or p.step >= total
    network.train()
    while not p.ended:
        epoch, index = divmod(p.step, per_epoch)
        if index == 0:
            batches = data.train(epoch)
        if analyse and p.step % (o.analysis.every or 1) == 0:
            with paused(since_start, since_row):
                p.rows = log(position(p.step, per_epoch, total) | analyse(p.step))
        batch = next(batches)
        plan = step_plan(o, noise, p.step, per_epoch, total)
        lr_scale = learning_rate(o.schedule, p.step, per_epoch, total)
        seed_noise(device, derive_seed(o.seed, "step", p.step))
        state.history[p.step - p.logged], grad_norm = train_step(o, task, state, noise, forward, batch, plan, lr_scale)
        p.step += 1

        epoch_ends = p.step % per_epoch == 0 or p.step == total
        if epoch_ends or p.step - p.logged == len(state.history):  # the only place that waits for the device
            row = position(p.step, per_epoch, total) | log_interval(o, task, state, units, since_row)
            row |= noise.rates(plan.rate_scale) | {"lr": o.optimizer.lr * lr_scale}
            row |= {} if grad_norm is None else {"grad_norm": grad_norm.item()}
            p.ended = p.step == total or row["train/loss"] < o.stop_loss
            if epoch_ends or p.ended:
                end_epoch(task, p)
                if p.ended or math.ceil(p.step / per_epoch) % o.validate_every == 0:
                    row |= validate(o, task, state, noise, data, device)
            p.rows = log(row)
            since_row = Stopwatch()
        with paused(since_row):
            checkpoint_hook(p, state_dict)

    network.load_state_dict(state.best)
    noise.set_rates(0.0)
    cast = autocast(o.precision, device)
    if p.metrics and f"val/{task.metric}" not in p.metrics:  # validation went by the loss alone
        whole = replace(o, validate="metric")
        metrics, state.items = evaluate(network, data.validation(), cast, task.meter(whole, data, "val"))
        p.metrics |= metrics
    meter = task.meter(o, data, "test")
    metrics, tested = evaluate(network, data.test(), cast, meter)
    p.metrics |= metrics
    if o.monte_carlo:
        p.metrics |= monte_carlo(
            network, noise, data.test(), device, cast, o.monte_carlo, seed=o.seed, networks=num_networks(o)
        )
    p.seconds = earlier + since_start.seconds()
    return p, ({} if state.items is None else {"val": state.items.cpu()}) | {"test": tested}, meter.generated()


def position(step: int, per_epoch: int, total: int) -> Row:
    """Where in training a row belongs."""
    return {"step": step, "epoch": step / per_epoch, "progress": step / total}


def train_step(
    o: Options,
    task: Task,
    state: State,
    noise: InstalledNoise,
    forward: Callable[[Any], Tensor],
    batch: Batch,
    plan: StepPlan,
    lr_scale: float,
) -> tuple[Tensor, Tensor | None]:
    """One optimizer step: its `columns` (means over the batch's items) and the gradient norm where it is clipped."""
    network, optimizer, scaler = state.network, state.optimizer, state.scaler
    device = state.history.device
    noise.set_rates(plan.rate_scale, plan.num_passes)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * lr_scale
    cast, grad_norm = autocast(o.precision, device), None
    sums, teacher = torch.zeros(COLUMNS, device=device), None
    for micro in split(batch, o.optimizer.accumulate):
        if o.compile:
            begin_forward(network, o.compile_mode, device)
        with cast():
            outputs = forward(micro.inputs)
            if plan.use_consistency and o.regularizer.tie == "teacher":
                with torch.no_grad():
                    teacher = state.evaluated(micro.inputs)
        losses = batch_loss(o, task, outputs, micro, plan, items(batch), teacher)
        scaler.scale(losses.total).backward()
        with torch.no_grad():
            columns = [*losses]
            if task.column:
                columns.append(correct(outputs[: len(micro.targets)], micro) / items(batch))
            sums[: len(columns)] += torch.stack(columns)
    if o.optimizer.clip:
        scaler.unscale_(optimizer)
        grad_norm = nn.utils.clip_grad_norm_(network.parameters(), o.optimizer.clip)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    if state.ema:
        state.ema.update(network)
    return sums, grad_norm


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


def validate(o: Options, task: Task, state: State, noise: InstalledNoise, data: Data, device: torch.device) -> Row:
    """Validation metrics; the weights are kept where they are the best so far, or where the last are asked for."""
    p = state.progress
    noise.set_rates(0.0)
    cast = autocast(o.precision, device)
    metrics, values = evaluate(state.evaluated, data.validation(), cast, task.meter(o, data, "val"))
    name, higher_is_better = task.selection(o)
    value = metrics[f"val/{name}"] if higher_is_better else -metrics[f"val/{name}"]
    if value > p.best_value or not p.best_epoch or o.select == "last":
        p.best_value, p.best_epoch = value, math.ceil(p.step / data.steps_per_epoch)
        p.metrics |= metrics
        state.best, state.items = copied(state.evaluated), values
    state.network.train()
    return metrics


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
