"""Several worker processes for one trial at a time, which find each other as those of torchrun do."""

import socket
import time
from typing import IO, Any

from hydra_slots.devices import Slot
from hydra_slots.process import Worker

GRACE = 30.0
"""Seconds that the first process has to notice, and say, that another one has died."""


class Team(Worker):
    """The first of the processes, which answers for all; the `others` run the same jobs."""

    def __init__(self, slot: Slot, setup: IO[bytes]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        size = {"WORLD_SIZE": str(slot.ranks), "LOCAL_WORLD_SIZE": str(slot.ranks)}
        shared = size | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        ranks = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(slot.ranks)]
        super().__init__(slot, setup, ranks[0])
        self.others = [Worker(slot, setup, environment) for environment in ranks[1:]]
        self.died: float | None = None

    def send(self, message: tuple[Any, ...]) -> None:
        super().send(message)
        for other in self.others:
            other.send(message)

    def receive(self) -> Any:
        for other in self.others:
            other.receive()  # says nothing that the first one does not say
        return super().receive()

    def alive(self) -> bool:
        """Whether the first process is; it is killed where it does not notice that another one is dead."""
        if self.died is None and not all(other.alive() for other in self.others):
            self.died = time.monotonic()
        if self.died is not None and time.monotonic() - self.died > GRACE:
            super().kill()
        return super().alive()

    def stop(self) -> None:
        super().stop()
        for other in self.others:
            other.stop()

    def dismiss(self) -> None:
        super().dismiss()
        for other in self.others:
            other.dismiss()

    def kill(self) -> None:
        super().kill()
        for other in self.others:
            other.kill()

    def close(self) -> None:
        super().close()
        for other in self.others:
            other.close()

    def memory(self) -> int | None:
        own = super().memory()
        return None if own is None else own + sum(other.memory() or 0 for other in self.others)
