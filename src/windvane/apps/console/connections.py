"""Bounds on the console's connections: how many there are, and how long each may keep others out.

The server itself has none of these: whoever sends halves of heads would take all of its files.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import resource
import ssl
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

_log = logging.getLogger(__name__)
_KEPT_BACK = 256  # files for the database, the log, the trials of versions, and the libraries
_LEAST = 16


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """At most ``most`` connections; a handshake and a head within ``head_s`` seconds, and an
    answer's bytes taken within ``taken_s`` of having to wait for that. A request has at most
    ``request_bytes``, with its head and whatever is sent behind its body."""

    most: int = 1_000
    head_s: float = 10.0
    taken_s: float = 30.0
    sweep_s: float = 1.0
    request_bytes: int = 192 << 10

    @staticmethod
    def of_this_process() -> ConnectionBounds:
        """As many as it may open files for."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = ConnectionBounds().most
        if files != resource.RLIM_INFINITY:
            most = min(most, max(_LEAST, files - _KEPT_BACK))
        return ConnectionBounds(most)


class Connections:
    """All that are open. A new one takes the place of the oldest that asks nothing; where all are
    being answered, it is refused."""

    def __init__(
        self, bounds: ConnectionBounds, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.bounds = bounds
        self.monotonic = monotonic
        self._open: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> bool:
        """False where there is no room."""
        if len(self._open) >= self.bounds.most:
            idle = next((one for one in self._open if not one.answering), None)
            if idle is None:
                return False
            self.drop(idle)
        self._open[connection] = None
        return True

    def drop(self, connection: Connection) -> None:
        self.forget(connection)
        connection.abort()

    def forget(self, connection: Connection) -> None:
        self._open.pop(connection, None)

    async def sweep(self) -> None:
        """Until it is cancelled: drop those that take too long."""
        while True:
            await asyncio.sleep(self.bounds.sweep_s)
            now = self.monotonic()
            late = [one for one in self._open if one.is_late(now, self.bounds)]
            for one in late:
                self.drop(one)


class Connection(asyncio.Protocol):
    """Passes everything on to the server's own protocol, and takes the time."""

    def __init__(
        self, connections: Connections, inner: asyncio.Protocol, tls: ssl.SSLContext | None
    ) -> None:
        self._all = connections
        self._inner = inner
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._made = False
        self._early = b""
        self.answering = 0
        self._in_request = False
        self._received = 0
        self._asking_since: float | None = None
        self._blocked_since: float | None = None

    def is_late(self, now: float, bounds: ConnectionBounds) -> bool:
        if self._blocked_since is not None and now - self._blocked_since > bounds.taken_s:
            return True
        since = self._asking_since
        return not self.answering and since is not None and now - since > bounds.head_s

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def head_came(self) -> None:
        """What follows of the request has a time of its own."""
        self._asking_since = None
        self._in_request = True

    def request_over(self) -> None:
        self._in_request = False
        self._received = 0

    def begin(self) -> None:
        """A request has come as a whole."""
        self.answering += 1

    def end(self) -> None:
        self.answering -= 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._asking_since = self._all.monotonic()
        if not self._all.add(self):
            self.abort()
        elif self._tls is None:
            self._begin(self._transport)
        else:
            self._transport.pause_reading()  # what comes is for the handshake
            self._handshake = asyncio.get_running_loop().create_task(self._shake(self._tls))

    async def _shake(self, tls: ssl.SSLContext) -> None:
        """Here, for what only has a handshake under way counts as well."""
        assert self._transport is not None
        loop, wait_s = asyncio.get_running_loop(), self._all.bounds.head_s
        try:
            secured = await loop.start_tls(
                self._transport, self, tls, server_side=True, ssl_handshake_timeout=wait_s
            )
        except (OSError, ssl.SSLError) as error:
            _log.debug("no handshake: %s", error)
            # Its frames hold a quarter of a megabyte each, in a cycle that waits for a collection.
            traceback.clear_frames(error.__traceback__)
            error.__traceback__ = None
            self._all.drop(self)
            return
        if secured is None or self._transport.is_closing():  # the other side left meanwhile
            self._all.drop(self)
            return
        self._transport = secured
        self._begin(secured)

    def _begin(self, transport: asyncio.Transport) -> None:
        self._made = True
        self._inner.connection_made(transport)
        early, self._early = self._early, b""
        if early:
            self._inner_data(early)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.forget(self)
        if self._made:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._all.bounds.request_bytes:
            self._all.drop(self)
            return
        if not self._in_request and self._asking_since is None:
            self._asking_since = self._all.monotonic()
        if self._made:
            self._inner_data(data)
        else:  # what came in one piece with the end of the handshake
            self._early += data

    def _inner_data(self, data: bytes) -> None:
        before = _connection.set(self)
        try:
            self._inner.data_received(data)
        finally:
            _connection.reset(before)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._made else None

    def pause_writing(self) -> None:
        self._blocked_since = self._all.monotonic()
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._blocked_since = None
        self._inner.resume_writing()


# The server answers a request in a task of its own, with a copy of what is set while it is read.
_connection: contextvars.ContextVar[Connection] = contextvars.ContextVar("connection")


def bounded_protocol(
    connections: Connections, tls: ssl.SSLContext | None = None
) -> type[asyncio.Protocol]:
    """What the server makes for each connection, in place of its own protocol."""

    class Bounded(Connection):
        def __init__(self, **given: Any) -> None:
            super().__init__(connections, AutoHTTPProtocol(**given), tls)

    return Bounded


class NotesRequests:
    """Tells a connection when a request of it is there as a whole, and until when it is answered:
    who has only sent half of a body keeps nobody out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = _connection.get(None) if scope["type"] == "http" else None
        if connection is None:
            await self._app(scope, receive, send)
            return
        connection.head_came()
        whole = not _announces_body(scope)
        if whole:
            connection.begin()

        async def noting() -> Message:
            nonlocal whole
            message = await receive()
            if not whole and message["type"] == "http.request" and not message.get("more_body"):
                whole = True
                connection.begin()
            return message

        try:
            await self._app(scope, noting, send)
        finally:
            connection.request_over()
            if whole:
                connection.end()


def _announces_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
        for name, value in scope["headers"]
    )
