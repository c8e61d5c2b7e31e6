"""One trial from options to result.json: skipped when finished, resumed when started, stopped without loss."""

import platform
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml

from rdrop_exp.config.identity import canonical
from rdrop_exp.config.options import Options
from rdrop_exp.config.schedules import check_length
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.load import load_data
from rdrop_exp.launch.lock import claim
from rdrop_exp.models.build import build_network
from rdrop_exp.runs.folder import describe, finished, read_result, trial_folder
from rdrop_exp.seeds import mix
from rdrop_exp.train import checkpoint, optim
from rdrop_exp.train.loop import State, train
from rdrop_exp.train.tracking import Tracker


def run(options: Options, command: str = "") -> dict[str, Any] | None:
    """Run the trial unless it is finished; return what result.json holds, or None while another process runs it.

    Everything that can be wrong with the options raises `OptionError` before anything is written. SIGINT and SIGTERM
    save a checkpoint and raise KeyboardInterrupt or SystemExit.
    """
    o, unused = canonical(options)
    folder = trial_folder(o)
    if finished(folder):
        print(f"already finished: {folder}")
        return read_result(folder)
    if o.threads:
        torch.set_num_threads(o.threads)
    device = choose_device(o.device)
    data = load_data(o.dataset, batch_size=o.optimizer.batch_size, seed=o.seed, device=device)
    spec = data.spec
    torch.manual_seed(mix(o.seed, "weights"))
    network, noise = build_network(
        o, classes=spec.classes, channels=spec.channels, image_size=spec.image_size, device=device
    )
    optim.make_optimizer(o.optimizer, network)
    total = o.schedule.steps or o.schedule.epochs * data.steps_per_epoch
    check_length(o.regularizer, data.steps_per_epoch, total)

    folder.mkdir(parents=True, exist_ok=True)
    with claim(folder) as mine:
        if not mine:
            print(f"another process runs this trial: {folder}")
            return None
        if finished(folder):  # by the process that held the claim a moment ago
            return read_result(folder)
        about = describe(o) | {"command": command, "device": describe_device(device), "versions": versions()}
        checkpoint.write_text(folder / "config.yaml", yaml.safe_dump(about["options"], sort_keys=False))
        saved = checkpoint.load(folder, device)
        state = State(**saved["state"]) if saved else State()
        label = "-".join(about["name"].split("-")[:-1])
        with Tracker(o, folder, about["identity"], label, state.rows) as tracker, signals() as stop:
            start = (
                f"from step {state.step}" if saved else f"{sum(p.numel() for p in network.parameters()):,} parameters"
            )
            tracker.message(f"{folder.name}: {'going on ' if saved else ''}{start}, {total} steps on {device}")
            if unused:
                tracker.message(f"no effect here: {', '.join(unused)}")
            try:
                pause = saver(o, folder, stop, tracker)
                state = train(o, network, noise, data, device, saved, tracker.row, pause)
            except Exception as error:
                tracker.message(traceback.format_exc(), quiet=True)
                record(folder, about | {"status": "failed", "error": str(error) or type(error).__name__})
                raise
            result = about | outcome(o, state, data.steps_per_epoch)
            tracker.summary(result["metrics"])
            tracker.message(
                f"{folder.name}: test accuracy {result['metrics']['test/accuracy']:.2%}"
                f" (weights of epoch {state.best_epoch}, {state.seconds:.0f} s)"
            )
            record(folder, result)
        checkpoint.finish(folder, network.state_dict() if o.keep_weights else None)
    if device.type == "cuda":
        torch.cuda.empty_cache()  # a warm worker beside others must not keep what it no longer uses
    return result


def saver(
    o: Options, folder: Path, stop: list[int], tracker: Tracker
) -> Callable[[Callable[[], dict[str, Any]]], None]:
    """What the loop calls between steps: saves a checkpoint when it is time, and when a signal asks to stop."""
    last = time.monotonic()

    def pause(pack: Callable[[], dict[str, Any]]) -> None:
        nonlocal last
        if not stop and time.monotonic() - last < o.checkpoint_seconds:
            return
        state = pack()
        checkpoint.save(folder, state)
        last = time.monotonic()
        if stop:
            tracker.message(f"stopped by {signal.Signals(stop[0]).name} after step {state['state']['step']}; saved")
            raise KeyboardInterrupt if stop[0] == signal.SIGINT else SystemExit(128 + stop[0])

    return pause


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


def outcome(o: Options, s: State, per_epoch: int) -> dict[str, Any]:
    """The part of result.json that training makes."""
    return {
        "status": "finished",
        "metrics": s.metrics,
        "best_epoch": s.best_epoch,
        "steps": s.step,
        "seconds": s.seconds,
        "images_per_second": s.step * o.optimizer.batch_size / max(s.train_seconds, 1e-9),
    }


def record(folder: Path, result: dict[str, Any]) -> None:
    """Write result.json, last and atomically."""
    import json

    checkpoint.write_text(folder / "result.json", json.dumps(result, indent=1))


def choose_device(name: str) -> torch.device:
    """The device of that name; auto: CUDA, else Apple's, else the CPU."""
    if name == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"device={name} is not here: {str(error).splitlines()[0]}") from None
    return device


def describe_device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"python": platform.python_version()}
    for name in ("rdrop-exp", "torch", "timm", "torchvision"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that is not installed
            found[name] = "unknown"
    return found
