"""SIGINT and SIGTERM: a trial goes on to the end of its step, and the checkpoint hook sees that one has come."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


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
