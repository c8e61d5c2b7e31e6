"""The training loop: from options, data and a network to metrics, resumable at any step.

Everything random is a function of (seed, step): the data by itself, the noise by reseeding torch at every step. So a
trial that was stopped goes on bit for bit from its `State`.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from rdrop_exp.config.options import Options
from rdrop_exp.config.schedules import learning_rate
from rdrop_exp.data.batch import Batch, items, split
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.tasks.meters import correct
from rdrop_exp.tasks.task import Task
from rdrop_exp.train.compile import begin_forward, compiled
from rdrop_exp.train.evaluate import Row, evaluate
from rdrop_exp.train.monte_carlo import monte_carlo
from rdrop_exp.train.parallel import ALONE, World, micro_steps
from rdrop_exp.train.rows import Stopwatch, end_epoch, log_interval, paused, position
from rdrop_exp.train.setup import Setup
from rdrop_exp.train.state import COLUMNS, Progress, State, copied
from rdrop_exp.train.step import StepPlan, autocast, batch_loss, num_networks, seed_noise, step_plan

CheckpointHook = Callable[[Progress, Callable[[], dict[str, Any]]], None]


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
    task, world, per_epoch, total = setup.task, setup.world, data.steps_per_epoch, setup.total_steps
    units = task.units_per_step(o, data)
    state = State.initial(o, network, device, min(o.logger.every, per_epoch))
    if saved:
        state.load_state_dict(saved)
    p, earlier = state.progress, state.progress.seconds
    replica = world.replicate(network, data)
    forward = compiled(replica, o.compile_mode) if o.compile else replica
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
        seed_noise(device, world.noise_seed(o.seed, p.step))
        step = train_step(o, task, state, noise, forward, batch, plan, lr_scale, world)
        state.history[p.step - p.logged], grad_norm = step
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
                    row |= validate(setup, state)
            p.rows = log(row)
            since_row = Stopwatch()
        with paused(since_row):
            checkpoint_hook(p, state_dict)

    network.load_state_dict(state.best)
    noise.set_rates(0.0)
    cast = autocast(o.precision, device)
    if p.metrics and f"val/{task.metric}" not in p.metrics:  # validation went by the loss alone
        whole = replace(o, validate="metric")
        metrics, state.items = evaluate(network, data.validation(), cast, task.meter(whole, data, "val"), world)
        p.metrics |= metrics
    meter = task.meter(o, data, "test")
    metrics, tested = evaluate(network, data.test(), cast, meter, world)
    p.metrics |= metrics
    if o.monte_carlo:
        p.metrics |= monte_carlo(
            network, noise, data.test(), device, cast, o.monte_carlo, seed=o.seed, networks=num_networks(o), world=world
        )
    p.seconds = earlier + since_start.seconds()
    return p, ({} if state.items is None else {"val": state.items.cpu()}) | {"test": tested}, meter.generated()


def train_step(
    o: Options,
    task: Task,
    state: State,
    noise: InstalledNoise,
    forward: Callable[[Any], Tensor],
    batch: Batch,
    plan: StepPlan,
    lr_scale: float,
    world: World = ALONE,
) -> tuple[Tensor, Tensor | None]:
    """One optimizer step: its `columns` (means over the batch's items) and the gradient norm where it is clipped."""
    network, optimizer, scaler = state.network, state.optimizer, state.scaler
    device = state.history.device
    noise.set_rates(plan.rate_scale, plan.num_passes)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * lr_scale
    cast, grad_norm = autocast(o.precision, device), None
    sums, count, teacher = torch.zeros(COLUMNS, device=device), world.sum(items(batch), device), None
    for micro, context in micro_steps(forward, split(batch, o.optimizer.accumulate)):
        if o.compile:
            begin_forward(network, o.compile_mode, device)
        with context:
            with cast():
                outputs = forward(micro.inputs)
                if plan.use_consistency and o.regularizer.tie == "teacher":
                    with torch.no_grad():
                        teacher = state.evaluated(micro.inputs)
            losses = batch_loss(o, task, outputs, micro, plan, count, teacher)
            scaler.scale(losses.total).backward()
        with torch.no_grad():
            columns = [*losses]
            if task.column:
                columns.append(correct(outputs[: len(micro.targets)], micro) / count)
            sums[: len(columns)] += torch.stack(columns)
    if o.optimizer.clip:
        scaler.unscale_(optimizer)
        grad_norm = nn.utils.clip_grad_norm_(network.parameters(), o.optimizer.clip)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    world.mean(state.own_statistics)
    if state.ema:
        state.ema.update(network)
    return world.sum(sums, device), grad_norm


def validate(setup: Setup, state: State) -> Row:
    """Validation metrics; the weights are kept where they are the best so far, or where the last are asked for."""
    o, task, data, p = setup.options, setup.task, setup.data, state.progress
    setup.noise.set_rates(0.0)
    cast = autocast(o.precision, setup.device)
    metrics, values = evaluate(state.evaluated, data.validation(), cast, task.meter(o, data, "val"), setup.world)
    name, higher_is_better = task.selection(o)
    value = metrics[f"val/{name}"] if higher_is_better else -metrics[f"val/{name}"]
    if value > p.best_value or not p.best_epoch or o.select == "last":
        p.best_value, p.best_epoch = value, math.ceil(p.step / data.steps_per_epoch)
        p.metrics |= metrics
        state.best, state.items = copied(state.evaluated), values
    state.network.train()
    return metrics
