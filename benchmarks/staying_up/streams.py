"""Several open-loop streams from one process: ``python -m staying_up.streams PLAN OUT``.

As with serving/openloop.c a request's latency counts from when it was due. This one notes what
became of every request, so that what happened at one moment, or to one tenant among others, can
be told. Each stream sends one request in each interval of 1 / rate seconds, at a moment drawn by
chance with a fixed seed: steady, and in step with no other stream. Connections are used in turn
and kept open; one that the server asks to close is replaced.
"""

from __future__ import annotations

import ctypes
import gc
import math
import re
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from .answers import Answers, Floats, to_arrays

_PR_SET_TIMERSLACK = 29
_PATIENCE_S = 5.0
_LONGEST_WAIT_S = 0.1
_AT_ONCE = 1 << 16
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_RETRY = re.compile(rb"\r\nretry-after:", re.IGNORECASE)


class Stream(msgspec.Struct, frozen=True):
    """``rate`` requests a second for ``seconds``, from ``connections`` to 127.0.0.1:``port``.

    ``file`` has the requests as serving/cycle.lua describes; number ``start`` is the first.
    ``mark`` is looked for in each answer's body.
    """

    port: int
    file: str
    start: int
    rate: float
    connections: int
    seconds: float
    mark: str = ""

    @property
    def total(self) -> int:
        return int(self.rate * self.seconds)


def due_times(stream: Stream, seed: int) -> Floats:
    """Seconds from the beginning, ascending."""
    chance = np.random.default_rng(seed).random(stream.total)
    return (np.arange(stream.total) + chance) / stream.rate


def read_requests(path: Path, start: int, count: int) -> list[bytes]:
    """``count`` requests from number ``start`` on; after the last comes the first."""
    data = path.read_bytes()
    found: list[bytes] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return [found[(start + i) % len(found)] for i in range(count)]


def read_head(held: bytes | bytearray) -> tuple[int, int, bool, bool] | None:
    """(status, bytes of the whole answer, whether it has Retry-After, whether it says to close).

    None while the head is not whole.
    """
    end = held.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(held[: end + 2])
    length = _LENGTH.search(head)
    whole = end + 4 + (int(length[1]) if length else 0)
    return int(head[9:12]), whole, bool(_RETRY.search(head)), bool(_CLOSE.search(head))


class _Connection:
    __slots__ = ("held", "request", "sender", "socket")

    def __init__(self, sender: Sender, opened: socket.socket) -> None:
        self.sender = sender
        self.socket = opened
        self.request = -1  # the number of the request under way
        self.held = bytearray()


class Sender:
    """One stream's connections, what it has still to send and what it has heard."""

    def __init__(self, stream: Stream, seed: int) -> None:
        self.due = due_times(stream, seed).tolist()
        self.next = self.heard = 0
        self._stream = stream
        self._mark = stream.mark.encode()
        self._requests = read_requests(Path(stream.file), stream.start, stream.total)
        self._free: deque[_Connection] = deque()
        count = stream.total
        self._sent = [math.nan] * count
        self._latency = [math.inf] * count
        self._status = [0] * count
        self._retry = [False] * count
        self._marked = [False] * count

    @property
    def waits_until(self) -> float:
        """When the next request can leave; infinite if none is left or no connection is free."""
        return self.due[self.next] if self.next < len(self.due) and self._free else math.inf

    @property
    def done(self) -> bool:
        return self.heard == len(self.due)

    def open_all(self, poller: select.epoll, by_fd: dict[int, _Connection]) -> None:
        for _ in range(self._stream.connections):
            self._open(poller, by_fd)

    def _open(self, poller: select.epoll, by_fd: dict[int, _Connection]) -> None:
        opened = socket.create_connection(("127.0.0.1", self._stream.port), timeout=5.0)
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = by_fd[opened.fileno()] = _Connection(self, opened)
        poller.register(opened.fileno(), select.EPOLLIN)
        self._free.append(connection)

    def send(self, began: float) -> None:
        """The next request, on the connection that was free the longest."""
        connection = self._free.popleft()
        number = self.next
        self.next += 1
        connection.request = number
        self._sent[number] = time.monotonic() - began
        try:
            # A request is small and the connection's last one is answered: it is taken whole.
            connection.socket.send(self._requests[number])
        except OSError:
            pass  # the server hung up: reading will say so

    def read(
        self, connection: _Connection, began: float, poller: select.epoll,
        by_fd: dict[int, _Connection],
    ) -> None:  # fmt: skip
        try:
            data = connection.socket.recv(_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._replace(connection, poller, by_fd)
            return
        held = connection.held
        held += data
        head = read_head(held)
        if head is None or len(held) < head[1] or connection.request < 0:
            return
        number = connection.request
        self._latency[number] = (time.monotonic() - began - self.due[number]) * 1e3
        self._status[number], _, self._retry[number], close = head
        self._marked[number] = bool(self._mark) and self._mark in held
        self.heard += 1
        connection.request = -1
        held.clear()
        if close:
            self._replace(connection, poller, by_fd)
        else:
            self._free.append(connection)

    def _replace(
        self, connection: _Connection, poller: select.epoll, by_fd: dict[int, _Connection]
    ) -> None:
        if connection.request >= 0:
            self.heard += 1  # with status 0: nobody will answer it any more
        elif connection in self._free:
            self._free.remove(connection)
        del by_fd[connection.socket.fileno()]
        connection.socket.close()
        self._open(poller, by_fd)

    @property
    def answers(self) -> Answers:
        return Answers(
            np.array(self.due), np.array(self._sent), np.array(self._latency),
            np.array(self._status, np.int16), np.array(self._retry), np.array(self._marked),
        )  # fmt: skip


def run(
    streams: Sequence[Stream], on_begin: Callable[[float], None] = lambda _: None
) -> list[Answers]:
    """All streams at once, until the last request is answered or given up.

    ``on_begin`` hears when the load begins, on the monotonic clock.
    """
    senders = [Sender(stream, seed) for seed, stream in enumerate(streams)]
    by_fd: dict[int, _Connection] = {}
    with select.epoll() as poller:
        for sender in senders:
            sender.open_all(poller, by_fd)
        gc.collect()
        began = time.monotonic()
        on_begin(began)
        give_up = began + max(stream.seconds for stream in streams) + _PATIENCE_S
        while not all(sender.done for sender in senders):
            wait_s = began + min(sender.waits_until for sender in senders) - time.monotonic()
            if wait_s > 0.0:  # epoll itself counts in milliseconds
                select.select([poller], [], [], min(wait_s, _LONGEST_WAIT_S))
            for fd, _ in poller.poll(0):
                connection = by_fd.get(fd)
                if connection is not None:
                    connection.sender.read(connection, began, poller, by_fd)
            now = time.monotonic()
            for sender in senders:
                while began + sender.waits_until <= now:
                    sender.send(began)
            if now > give_up:
                break
    for connection in by_fd.values():
        connection.socket.close()
    return [sender.answers for sender in senders]


def main() -> None:
    plan, out = map(Path, sys.argv[1:])
    gc.disable()  # its pauses would be taken for the server's
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1_000)  # wake within a microsecond, not fifty
    streams = msgspec.json.decode(plan.read_bytes(), type=list[Stream])
    found = run(streams, lambda began: print(began, flush=True))
    with out.open("wb") as file:
        np.savez(file, **to_arrays(found))  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    main()
