"""The training loop, in plain sight: from options, data and a network to metrics, resumable at any step.

Everything random is a function of (seed, step): the data by itself, the noise by reseeding torch at every step. So a
checkpoint is weights, optimizer and `State`, and a trial that was stopped goes on bit for bit.
"""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rdrop_exp.config.options import Options
from rdrop_exp.config.schedules import learning_rate, noise_share
from rdrop_exp.data.batch import Batch, Data, items, split
from rdrop_exp.noise.install import Noise
from rdrop_exp.seeds import mix
from rdrop_exp.train.compile import begin_forward, compiled
from rdrop_exp.train.evaluate import Row, correct, evaluate
from rdrop_exp.train.losses import Loss, loss
from rdrop_exp.train.optim import make_ema, make_optimizer

COLUMNS = ("train/loss", "train/cross_entropy", "train/consistency", "train/accuracy")


class TrainingError(RuntimeError):
    """Training cannot go on; the message is one sentence that says at which step and what to change."""


@dataclass(slots=True)
class State:
    """Where training is, beside weights and optimizer: plain numbers, part of every checkpoint."""

    step: int = 0  # optimizer steps done
    logged: int = 0  # step of the last row
    epoch_sums: list[float] = field(default_factory=lambda: [0.0] * len(COLUMNS))
    epoch_start: int = 0
    best_value: float = -math.inf
    best_epoch: int = 0
    seconds: float = 0.0  # of training and validation, over all starts
    train_seconds: float = 0.0
    rows: int = 0  # bytes of metrics.jsonl that belong to this state
    metrics: Row = field(default_factory=dict)  # what result.json will hold


def train(
    o: Options,
    network: nn.Module,
    noise: Noise,
    data: Data,
    device: torch.device,
    saved: dict[str, Any] | None,
    log: Callable[[Row], int],
    pause: Callable[[Callable[[], dict[str, Any]]], None],
) -> State:
    """Train from the saved checkpoint, or the start, to the end; then test the chosen weights, which stay in `network`.

    `log` writes a row of metrics and returns the size of its file. `pause(pack)` is called between steps and may save
    what `pack()` returns; it stops training by raising.
    """
    per_epoch = data.steps_per_epoch
    total = o.schedule.steps or o.schedule.epochs * per_epoch
    networks = 2 if o.peer.name else 1

    # -- what a checkpoint holds ------------------------------------------------------------------------------------
    optimizer = make_optimizer(o.optimizer, network)
    scaler = torch.amp.GradScaler(device.type, enabled=o.precision == "fp16")
    ema = make_ema(network, o.optimizer.ema)
    evaluated = ema.module if ema else network
    s, best = State(), {k: v.clone() for k, v in evaluated.state_dict().items()}
    every = min(o.logger.every, per_epoch)
    history = torch.zeros(every, len(COLUMNS), device=device)  # the steps since the last row, read only then
    analyse = analyser(o, network, noise, data, device) if o.analysis.every else None  # keeps the initial weights
    if saved:
        s, best, history = State(**saved["state"]), saved["best"], saved["history"]
        network.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scaler.load_state_dict(saved["scaler"])
        if ema:
            ema.module.load_state_dict(saved["ema"])

    def pack() -> dict[str, Any]:
        state = asdict(s) | {"seconds": s.seconds + time.monotonic() - started}
        parts: dict[str, Any] = {"model": network, "optimizer": optimizer, "scaler": scaler}
        parts |= {"ema": ema.module} if ema else {}
        return {k: v.state_dict() for k, v in parts.items()} | {"state": state, "best": best, "history": history}

    # -- training ---------------------------------------------------------------------------------------------------
    forward = compiled(network, o.compile_mode) if o.compile else network
    cast = autocast(o.precision, device)
    started = clock = time.monotonic()
    batches = data.train(*divmod(s.step, per_epoch))
    norm: Tensor | None = None
    ended = s.step >= total
    network.train()
    while not ended:
        epoch, index = divmod(s.step, per_epoch)
        if index == 0:
            batches = data.train(epoch)
        if analyse and s.step % (o.analysis.every or 1) == 0:
            before = time.monotonic()
            s.rows = log({"step": s.step, "epoch": s.step / per_epoch, "progress": s.step / total} | analyse(s.step))
            started, clock = (then + time.monotonic() - before for then in (started, clock))
        batch = next(batches)
        reseed(device, mix(o.seed, "step", s.step))

        # This step's rates: known on the host, so that a step without active noise makes a single pass.
        share, tied, copies = passes_at(o, noise, s.step, per_epoch, total)
        noise.set(share, copies)
        rate = learning_rate(o.schedule, s.step, per_epoch, total)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate

        # Forward and backward, a micro-batch at a time; the loss is the mean over the whole batch's items.
        sums = torch.zeros(len(COLUMNS), device=device)
        for micro in split(batch, o.optimizer.accumulate):
            if o.compile:
                begin_forward(network, o.compile_mode, device)
            with cast():
                outputs = forward(micro.inputs)
            losses = batch_loss(o, outputs, micro, copies, tied, items(batch))
            scaler.scale(losses.total).backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                right = correct(outputs[: len(micro.targets)], micro) / items(batch)
                sums += torch.stack([*losses, right])
        if o.optimizer.clip:
            scaler.unscale_(optimizer)
            norm = nn.utils.clip_grad_norm_(network.parameters(), o.optimizer.clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if ema:
            ema.update(network)
        history[s.step - s.logged] = sums
        s.step += 1

        # Rows of metrics: the only place that waits for the device.
        epoch_ends = s.step % per_epoch == 0 or s.step == total
        if epoch_ends or s.step - s.logged == every:
            steps = s.step - s.logged
            rows = history[:steps].tolist()
            check_finite(o, device, rows, s.logged)
            now = time.monotonic()
            s.train_seconds += now - clock
            means = [math.fsum(column) / steps for column in zip(*rows, strict=True)]
            s.epoch_sums = [a + b * steps for a, b in zip(s.epoch_sums, means, strict=True)]
            ended = s.step == total or means[0] < o.stop_loss
            row: Row = {"step": s.step, "epoch": s.step / per_epoch, "progress": s.step / total}
            row |= dict(zip(COLUMNS, means, strict=True)) | noise.rates(share)
            row |= {"lr": o.optimizer.lr * rate, "images_per_second": steps * o.optimizer.batch_size / (now - clock)}
            row |= {} if norm is None else {"grad_norm": norm.item()}
            s.logged = s.step
            if epoch_ends or ended:
                since = s.step - s.epoch_start
                s.metrics |= dict(zip(COLUMNS, (x / since for x in s.epoch_sums), strict=True))
                s.epoch_sums, s.epoch_start = [0.0] * len(COLUMNS), s.step
                if ended or math.ceil(s.step / per_epoch) % o.validate_every == 0:
                    noise.set(0.0)
                    validation = evaluate(evaluated, data.validation(), device, cast, "val", networks)
                    row |= validation
                    if validation["val/accuracy"] > s.best_value or o.select == "last":
                        s.best_value, s.best_epoch = validation["val/accuracy"], math.ceil(s.step / per_epoch)
                        s.metrics |= validation
                        best = {k: v.clone() for k, v in evaluated.state_dict().items()}
                    network.train()
            s.rows = log(row)
            clock = time.monotonic()
        if not ended:
            before = time.monotonic()
            pause(pack)
            clock += time.monotonic() - before

    # -- test, once, the chosen weights -----------------------------------------------------------------------------
    network.load_state_dict(best)
    noise.set(0.0)
    s.metrics |= evaluate(network, data.test(), device, cast, "test", networks)
    s.seconds += time.monotonic() - started
    return s


def passes_at(o: Options, noise: Noise, step: int, per_epoch: int, total: int) -> tuple[float, bool, int]:
    """At `step`: the share of the full drop rates, whether the loss ties passes together, and how many it needs."""
    r, networks = o.regularizer, 2 if o.peer.name else 1
    share = noise_share(r, step, per_epoch, total)
    tied = r.alpha > 0 and step % r.every == 0 and (networks == 2 or (share > 0 and bool(noise.modules)))
    return share, tied, r.passes if tied and networks == 1 else 1


def batch_loss(o: Options, outputs: Tensor, batch: Batch, copies: int, tied: bool, count: int | Tensor) -> Loss:
    """The loss of the `copies` passes of a batch or micro-batch, its sum over items divided by `count`."""
    r, networks = o.regularizer, 2 if o.peer.name else 1
    return loss(
        outputs,
        batch.targets,
        passes=copies * networks,
        alpha=r.alpha if tied else 0.0,
        mask=batch.mask,
        items=count,
        divergence=r.divergence,
        stop_gradient=r.stop_gradient,
    )


def analyser(o: Options, network: nn.Module, noise: Noise, data: Data, device: torch.device) -> Callable[[int], Row]:
    """What measures the network at a step and leaves training as it was; imported only where it is asked for."""
    from rdrop_exp.analysis.online import analyser as make

    return make(o, network, noise, data, device)


def reseed(device: torch.device, seed: int) -> None:
    """Seed the generator that noise on this device draws from.

    `torch.manual_seed` would seed every kind of device, and where CUDA is not in use it queues the call, with a stack
    trace, each time: half a millisecond and a leak at every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """A maker of the context in which the forward pass runs."""
    if precision == "fp32":
        return nullcontext
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return lambda: torch.autocast(device.type, dtype=dtype)


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
