"""Where training stops before its end: after a signal, which the checkpoint hook sees between steps, and at a pause."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from rdrop_exp.config.options import Options
from rdrop_exp.train.state import Progress


class Paused(Exception):
    """Training has got as far as `pause_epoch`, and its state is saved."""


def pauses(o: Options, p: Progress, per_epoch: int) -> bool:
    """Whether training pauses after this step."""
    pause = o.pause_epoch
    return pause is not None and not p.ended and p.step % per_epoch == 0 and p.step >= pause * per_epoch


def stop(number: int) -> NoReturn:
    """Leave training because of that signal."""
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


@contextmanager
def signals(echo: float = 0.0) -> Iterator[list[int]]:
    """A list that receives SIGINT and SIGTERM instead of the process (only where this is the main thread).

    A second signal ends the process at once, from a thread: the first may have come in the middle of a step or of a
    read that never ends. One that comes within `echo` seconds of the first is the same: of several ranks, each is sent
    a Ctrl-C by the terminal and then by torchrun.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)

    def watch() -> None:
        first = 0.0
        while number := os.read(read_end, 1):
            if number[0] not in numbers:  # such as SIGCHLD, after torch's loader has had workers
                continue
            if first and time.monotonic() - first >= echo:
                os._exit(128 + number[0])
            first = first or time.monotonic()

    numbers = (signal.SIGINT, signal.SIGTERM)
    threading.Thread(target=watch, daemon=True).start()
    before = {s: signal.signal(s, lambda number, _: received.append(number)) for s in numbers}
    wakeup = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:
        yield received
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(write_end)  # ends the thread
