"""One trial from options to result.json: skipped when finished, resumed when started, stopped without loss."""

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.config.schedules import check_length
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.batch import Data
from rdrop_exp.data.load import load_data
from rdrop_exp.hardware import choose_device, describe_device, versions
from rdrop_exp.launch.lock import lock
from rdrop_exp.models.build import build_network
from rdrop_exp.noise.install import InstalledNoise
from rdrop_exp.runs.folder import describe, finished, read_result, trial_folder, write_result, write_start
from rdrop_exp.seeds import derive_seed
from rdrop_exp.train import checkpoint
from rdrop_exp.train.evaluate import Row
from rdrop_exp.train.loop import train
from rdrop_exp.train.optim import make_optimizer
from rdrop_exp.train.state import Progress
from rdrop_exp.train.tracking import Tracker

MakeAnalysis = Callable[[Options, nn.Module, InstalledNoise, Data, torch.device], Callable[[int], Row]]


def run(options: Options, command: str = "", make_analysis: MakeAnalysis | None = None) -> dict[str, Any] | None:
    """Run the trial unless it is finished; return what result.json holds, or None while another process runs it.

    Everything that can be wrong with the options raises `OptionError` before anything is written. SIGINT and SIGTERM
    save a checkpoint and raise KeyboardInterrupt or SystemExit. `make_analysis` makes what `analysis.every` calls.
    """
    spec = trial_spec(options)
    o, folder = spec.options, trial_folder(spec)
    if finished(folder):
        print(f"already finished: {folder}")
        return read_result(folder)
    if o.analysis.every and make_analysis is None:
        raise OptionError(f"analysis.every={o.analysis.every} needs something to analyse with: give `make_analysis`")
    if o.threads:
        torch.set_num_threads(o.threads)
    device = choose_device(o.device)
    data = load_data(o.dataset, batch_size=o.optimizer.batch_size, seed=o.seed, device=device)
    torch.manual_seed(derive_seed(o.seed, "weights"))
    fits = {"classes": data.spec.classes, "channels": data.spec.channels, "image_size": data.spec.image_size}
    network, noise = build_network(o, **fits, device=device)
    make_optimizer(o.optimizer, network)  # refuses what timm would
    total = o.schedule.steps or o.schedule.epochs * data.steps_per_epoch
    check_length(o.regularizer, data.steps_per_epoch, total)

    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder) as acquired:
        if not acquired:
            print(f"another process runs this trial: {folder}")
            return None
        if finished(folder):  # by the process that held the lock a moment ago
            return read_result(folder)
        about = describe(spec) | {"command": command, "device": describe_device(device), "versions": versions()}
        write_start(folder, about)
        saved = checkpoint.load(folder, device)
        progress = Progress(**saved["state"]) if saved else Progress()
        job_type = spec.name.removesuffix(f"-s{o.seed}")
        with Tracker(o, folder, spec.identity, job_type, progress.rows) as tracker, signals() as received:
            parameters = f"{sum(p.numel() for p in network.parameters()):,} parameters"
            start = f"resuming from step {progress.step}" if saved else parameters
            tracker.message(f"{folder.name}: {start}, {total} steps on {device}")
            if spec.unused:
                tracker.message(f"Ignored (no effect with these options): {', '.join(spec.unused)}")
            try:
                analyse = make_analysis(o, network, noise, data, device) if make_analysis and o.analysis.every else None
                hook = checkpoint_hook(o, folder, received, tracker)
                progress = train(o, network, noise, data, device, saved, tracker.row, hook, analyse)
            except Exception as error:
                tracker.message(traceback.format_exc(), quiet=True)
                write_result(folder, about | {"status": "failed", "error": str(error) or type(error).__name__})
                raise
            result = about | outcome(o, progress)
            tracker.summary(result["metrics"])
            tracker.message(
                f"{folder.name}: test accuracy {result['metrics']['test/accuracy']:.2%}"
                f" (weights of epoch {progress.best_epoch}, {progress.seconds:.0f} s)"
            )
            write_result(folder, result)
        checkpoint.finish(folder, network.state_dict() if o.keep_weights else None)
    if device.type == "cuda":
        torch.cuda.empty_cache()  # a warm worker beside others must not keep what it no longer uses
    return result


def checkpoint_hook(
    o: Options, folder: Path, received: list[int], tracker: Tracker
) -> Callable[[Callable[[], dict[str, Any]]], None]:
    """What the loop calls between steps: saves a checkpoint when it is time, and when a signal asks to stop."""
    last = time.monotonic()

    def hook(state_dict: Callable[[], dict[str, Any]]) -> None:
        nonlocal last
        if not received and time.monotonic() - last < o.checkpoint_seconds:
            return
        saved = state_dict()
        checkpoint.save(folder, saved)
        last = time.monotonic()
        if received:
            step = saved["state"]["step"]
            tracker.message(f"Stopped by {signal.Signals(received[0]).name} and saved after step {step}.")
            raise KeyboardInterrupt if received[0] == signal.SIGINT else SystemExit(128 + received[0])

    return hook


@contextmanager
def signals() -> Iterator[list[int]]:
    """A list that receives SIGINT and SIGTERM instead of the process (only where this is the main thread)."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {s: signal.signal(s, lambda number, _: received.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def outcome(o: Options, p: Progress) -> dict[str, Any]:
    """The part of result.json that training makes."""
    return {
        "status": "finished",
        "metrics": p.metrics,
        "best_epoch": p.best_epoch,
        "steps": p.step,
        "seconds": p.seconds,
        "images_per_second": p.step * o.optimizer.batch_size / max(p.train_seconds, 1e-9),
    }
