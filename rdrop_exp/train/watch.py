"""Each process of a trial notices when another one ends, even while it waits for it in a collective operation.

Every process keeps a connection to the first, which the kernel closes when its process dies, by whatever cause. A
backend may take minutes to notice (NCCL), or raise an error that says little (gloo).
"""

import contextlib
import os
import secrets
import selectors
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

PATIENCE = 10.0
"""Seconds that the main thread has, once another process has ended, to leave a collective operation by itself."""
CONFIRM = 3.0
"""Seconds that an error waits for the news that another process was its cause."""
OVER = b"."
"""What the first process sends when a trial has ended for it."""


class LostRank(RuntimeError):
    """Another process of the trial has ended; the message is one sentence."""


class Watch:
    """The connections of this process, and what they have told."""

    def __init__(self, rank: int, peers: dict[int, socket.socket]) -> None:
        self.rank, self.peers = rank, peers
        self.trials = self.over = 0
        """Begun by this process; ended for the first one, as far as this one knows."""
        self.reason = self.details = ""
        """Why another process has ended before its time; empty: none has."""
        self.active = False
        """Whether the main thread may be waiting for another process."""
        self.examined: Exception | None = None
        self.news = threading.Condition()
        threading.Thread(target=self._listen, name="ranks", daemon=True).start()

    def begin(self) -> None:
        """A trial starts."""
        with self.news:
            self.trials, self.active = self.trials + 1, True

    def end(self) -> None:
        """The trial has ended for this process. The others wait for the first one, which has still to write."""
        self.leave()
        if self.rank == 0:
            self._send(OVER)
        else:
            with self.news:
                self.news.wait_for(self._ended)

    def leave(self) -> None:
        """The main thread waits for no other process from now on."""
        with self.news:
            self.active = False
            self.news.notify_all()

    def fail(self, text: str) -> None:
        """Tell the first process why this one ends: an error of its own."""
        self.leave()
        self._send(text.encode())

    def cause(self, error: Exception) -> Exception:
        """The error, or a `LostRank` in its place where another process has ended."""
        own = type(error).__module__.startswith("rdrop_exp.") or error is self.examined
        self.examined = error
        with self.news:
            if own or not self.news.wait_for(self._ended, CONFIRM):
                return error
        lost = LostRank(self.reason or "rank 0 of this trial has ended")
        lost.__cause__ = error
        lost.add_note(self.details)
        return lost

    def _ended(self) -> bool:
        return bool(self.reason) or (self.rank > 0 and self.over >= self.trials)

    def _send(self, data: bytes) -> None:
        for peer in self.peers.values():
            with contextlib.suppress(OSError):  # it has ended already
                peer.sendall(data)

    def _listen(self) -> None:
        told = dict.fromkeys(self.peers, b"")
        with selectors.DefaultSelector() as selector:
            for rank, peer in self.peers.items():
                selector.register(peer, selectors.EVENT_READ, rank)
            while selector.get_map():
                for key, _ in selector.select():
                    rank, data = key.data, _received(self.peers[key.data])
                    told[rank] += b"" if self.rank else data
                    if not data:
                        selector.unregister(self.peers[rank])
                    if self.rank or not data:
                        self._learn(rank, data, told[rank].decode(errors="replace").strip())

    def _learn(self, rank: int, data: bytes, told: str) -> None:
        """The first process has ended a trial, or process `rank` has ended altogether."""
        with self.news:
            self.over += len(data)
            if not data and not self.reason:
                why = f"failed: {told.splitlines()[-1]}" if told else "was killed; run the same command to resume"
                self.reason = f"rank {rank} of this trial {why}"
                self.details = told
            self.news.notify_all()
            if self.active and self._ended():
                threading.Thread(target=self._give_up, daemon=True).start()

    def _give_up(self) -> None:
        """End the process where its main thread cannot: it waits for another one that is no longer there."""
        with self.news:
            if self.news.wait_for(lambda: not self.active, PATIENCE):
                return
        self.report()
        os._exit(1)

    def report(self) -> None:
        """Say why, from one process alone: the first, or the second where the first is gone."""
        if self.reason and self.rank <= 1:
            print(f"rdrop-exp: {self.reason}", file=sys.stderr, flush=True)


def _received(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65536)
    except OSError:
        return b""


def connect(rank: int, size: int, exchange: Callable[[Any], Any]) -> Watch:
    """Connect all processes with the first; `exchange` hands what the first gives it to all."""
    if rank == 0:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        with socket.create_server(("", 0), family=family, dualstack_ipv6=both) as server:
            token = secrets.token_hex(8)
            exchange((server.getsockname()[1], token))
            peers: dict[int, socket.socket] = {}
            while len(peers) < size - 1:
                peer, _ = server.accept()
                words = peer.makefile().readline().split()
                if len(words) == 2 and words[0] == token:
                    peers[int(words[1])] = _alive(peer)
        return Watch(0, peers)
    port, token = exchange(None)
    first = socket.create_connection((os.environ["MASTER_ADDR"], port), timeout=60)
    first.settimeout(None)
    first.sendall(f"{token} {rank}\n".encode())
    return Watch(rank, {0: _alive(first)})


def _alive(peer: socket.socket) -> socket.socket:
    """Have the kernel ask whether the other host still answers, so that its loss of power is noticed as well."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return peer
