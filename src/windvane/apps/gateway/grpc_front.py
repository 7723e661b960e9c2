"""Connections to a gRPC server, counted and bounded before a byte of theirs reaches it.

grpcio bounds neither the connections of one address nor those of all, and its own TLS handshakes
can end the process when they run out of time (1.85). So it listens on a socket of this process
alone; connections are accepted, counted and decrypted here, and their bytes handed on.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections import Counter
from dataclasses import dataclass
from typing import cast

from windvane.ports.certificate import Certificate

_log = logging.getLogger(__name__)
_BACKLOG = 1_024
_ACCEPT_AGAIN_S = 1.0
_END_S = 2.0
_LOOK_EVERY_S = 0.01


@dataclass(frozen=True, slots=True)
class FrontBounds:
    """Connections in the whole and of one address; seconds for a TLS handshake, and for which a
    connection may be silent. Who comes when there is no room takes that of the most silent."""

    connections: int = 1_024
    per_address: int = 64
    handshake_s: float = 10.0
    idle_s: float = 600.0
    sweep_s: float = 5.0


class GrpcFront:
    """Hands what comes on ``listener`` on to the Unix socket ``inner``. The HTTP server follows
    the certificate for both."""

    def __init__(
        self, listener: socket.socket, inner: str, tls: Certificate | None, bounds: FrontBounds
    ) -> None:
        self._listener = listener
        self._inner = inner
        self._context = tls.context_for("h2") if tls is not None else None
        self._bounds = bounds
        self._tasks: list[asyncio.Task[None]] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self.open: dict[Outer, None] = {}
        self.connected: set[Outer] = set()
        self.evicted = 0

    def start(self) -> None:
        self._listener.setblocking(False)
        self._listener.listen(_BACKLOG)
        self._tasks = [asyncio.create_task(one) for one in (self._accept(), self._sweep())]

    async def stop_accepting(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()

    async def close(self) -> None:
        """Close what is open."""
        for one in list(self.open):
            one.close()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        until = time.monotonic() + _END_S
        while self.connected and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._listener)
            except OSError as error:  # no file descriptor is left, say
                _log.warning("no gRPC connection is accepted for a moment: %s", error)
                await asyncio.sleep(_ACCEPT_AGAIN_S)
                continue
            outer = Outer(self, str(address[0]))
            self._make_room(outer.address)
            self.open[outer] = None
            task = outer.joining = loop.create_task(self._connect(outer, accepted, self._context))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _connect(
        self, outer: Outer, accepted: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        loop = asyncio.get_running_loop()
        inner = Inner(outer)
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            handshake_s = self._bounds.handshake_s if context is not None else None
            await loop.connect_accepted_socket(
                lambda: outer, accepted, ssl=context, ssl_handshake_timeout=handshake_s
            )
            await loop.create_unix_connection(lambda: inner, self._inner)
            outer.join(inner)
        except (OSError, asyncio.CancelledError):  # ssl.SSLError is an OSError
            outer.joining = None
            outer.close()
            accepted.close()

    def _make_room(self, address: str) -> None:
        bounds, count = self._bounds, Counter(one.address for one in self.open)
        if count[address] >= bounds.per_address:
            self._evict([one for one in self.open if one.address == address])
        elif len(self.open) >= bounds.connections:
            self._evict(list(self.open))

    def _evict(self, some: list[Outer]) -> None:
        self.evicted += 1
        min(some, key=lambda one: one.heard_at).close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._bounds.sweep_s)
            silent = time.monotonic() - self._bounds.idle_s
            for one in list(self.open):
                if one.heard_at < silent:
                    one.close()


class _Side(asyncio.Protocol):
    """One end of a connection; what it cannot send in time holds the other end back."""

    transport: asyncio.Transport | None = None
    peer: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def pause(self, on: bool) -> None:
        """Read no more from it, or again."""
        if self.transport is not None and not self.transport.is_closing():
            (self.transport.pause_reading if on else self.transport.resume_reading)()

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.pause(True)

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.pause(False)


class Outer(_Side):
    """A client's side."""

    def __init__(self, front: GrpcFront, address: str) -> None:
        self._front = front
        self._early: list[bytes] = []
        self.address = address
        self.joining: asyncio.Task[None] | None = None
        self.heard_at = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._front.connected.add(self)
        self.pause(True)  # until there is somebody to hand it to

    def join(self, inner: Inner) -> None:
        self.peer = inner
        if self.transport is None or self.transport.is_closing():
            inner.close()
            return
        for part in self._early:
            inner.write(part)
        self._early.clear()
        self.pause(False)

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        if self.peer is None:
            self._early.append(data)
        else:
            self.peer.write(data)

    def write(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        super().write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._front.connected.discard(self)
        self.close()

    def close(self) -> None:
        """At once: what its client has not read by now it will not read."""
        self._front.open.pop(self, None)
        inner, self.peer = self.peer, None
        if isinstance(inner, Inner):
            inner.close()
        if self.transport is not None:
            self.transport.abort()
        elif self.joining is not None:
            self.joining.cancel()  # a handshake that is under way

    def finish(self) -> None:
        """The server has ended: its last bytes go out, as long as the connection is not silent."""
        self.peer = None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()


class Inner(_Side):
    """The gRPC server's side."""

    def __init__(self, outer: Outer) -> None:
        self._outer = outer
        self.peer = outer

    def data_received(self, data: bytes) -> None:
        self._outer.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._outer.finish()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()
