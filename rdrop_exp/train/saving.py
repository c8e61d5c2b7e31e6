"""What a trial leaves on disk while it trains: checkpoints, and forks for trials that share its steps."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rdrop_exp.config.identity import TrialSpec
from rdrop_exp.train import checkpoint
from rdrop_exp.train.forks import Forks
from rdrop_exp.train.loop import CheckpointHook
from rdrop_exp.train.setup import Setup
from rdrop_exp.train.state import Progress
from rdrop_exp.train.stopping import Paused, pauses, stop
from rdrop_exp.train.tracking import Tracker


def checkpoint_hook(
    spec: TrialSpec, folder: Path, setup: Setup, received: list[int], tracker: Tracker, forks: Forks
) -> CheckpointHook:
    """What the loop calls after each step: saves a checkpoint when it is time, and where training stops.

    It stops for a signal, and at `pause_epoch`. A checkpoint is due where training has ended, so that a test that fails
    is repeated alone.
    """
    last = time.monotonic()

    def hook(p: Progress, state_dict: Callable[[], dict[str, Any]]) -> None:
        nonlocal last
        tracker.advance(p.step / setup.total_steps)
        if p.step in forks.files and (warning := forks.leave(p.step, state_dict)):
            tracker.message(warning)
        number = setup.world.highest(*received[:1] or [0])
        pausing = pauses(spec.options, p, setup.data.steps_per_epoch)
        if not (p.ended or number or pausing) and time.monotonic() - last < spec.options.checkpoint_seconds:
            return
        saved = state_dict() | {"identity": spec.identity}
        checkpoint.save(folder, saved)
        last = time.monotonic()
        if number:
            tracker.message(f"Stopped by {signal.Signals(number).name} and saved after step {p.step}.")
            stop(number)
        if pausing:
            pause = spec.options.pause_epoch
            tracker.message(f"{folder.name}: paused after epoch {pause}; without pause_epoch it trains on.")
            raise Paused

    return hook
