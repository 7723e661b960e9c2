"""One worker's server: accepting, sweeping, leaving without losing a request."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import uvloop

from windvane.apps.gateway.http_connections import Connections
from windvane.apps.gateway.http_protocol import Application, Bounds, HttpConnection
from windvane.ports.certificate import Certificate

_log = logging.getLogger(__name__)
_BACKLOG = 4_096
_LOOK_EVERY_S = 0.02
_ACCEPT_AGAIN_S = 1.0


class Service(Application, Protocol):
    """An application with a beginning and an end."""

    async def start(self) -> None:
        """Before the first connection is accepted."""
        ...

    async def stop(self) -> None:
        """After the last one was closed."""
        ...


class Transport(Protocol):
    """Another way to the same engine."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Take nothing new, and wait a bounded time for what is under way."""
        ...


@dataclass(frozen=True, slots=True)
class AlsoListen:
    """A further port, with an application of its own. Workers share it by SO_REUSEPORT."""

    port: int
    app: Application


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Where to listen, and how to leave.

    On SIGTERM or SIGINT no new connection is accepted, and what comes on those that are open is
    answered with ``connection: close``. Those that stay silent for ``drain_s`` are closed then;
    requests under way have ``end_s`` more.
    """

    host: str
    port: int
    listen_fd: int | None = None
    """An inherited socket; ``host`` and ``port`` are not used then."""
    ready_fd: int | None = None
    """Is told once connections are accepted."""
    drain_s: float = 5.0
    end_s: float = 5.0
    bounds: Bounds = field(default_factory=Bounds)
    tls: Certificate | None = None
    also: Sequence[AlsoListen] = ()
    reuse_port: bool = False


class HttpServer:
    """One worker's, in the running loop, from ``start`` to ``stop``. Other workers go on
    accepting from the same socket while it leaves."""

    def __init__(self, app: Application, config: HttpConfig, *, watches: bool = True) -> None:
        """``watches``: it follows the certificate, for all that show it."""
        self._watches = watches
        self.connections = Connections(app, config.bounds)
        self._handshakes: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._app = app
        self._config = config
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._at_once = False
        self._also = [
            HttpServer(
                one.app,
                replace(
                    config, port=one.port, listen_fd=None, ready_fd=None, also=(), reuse_port=True
                ),
                watches=False,
            )
            for one in config.also
        ]  # fmt: skip

    @property
    def port(self) -> int:
        assert self._listener is not None
        return self._listener.getsockname()[1]

    async def start(self) -> None:
        config = self._config
        if config.listen_fd is None:
            family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
            self._listener = socket.create_server(
                (config.host, config.port), family=family, reuse_port=config.reuse_port
            )
        else:
            self._listener = socket.socket(fileno=config.listen_fd)
        self._listener.setblocking(False)
        tls = config.tls
        if tls is None:
            self._server = await asyncio.get_running_loop().create_server(
                partial(HttpConnection, self.connections), sock=self._listener, backlog=_BACKLOG
            )
        else:
            self._listener.listen(_BACKLOG)
            self._accepting = asyncio.create_task(self._accept(self._listener, tls.context))
            if self._watches:
                self._tasks.append(asyncio.create_task(tls.watch()))
        for one in self._also:
            await one.start()
        self._tasks.append(asyncio.create_task(self._sweep()))
        if config.ready_fd is not None:
            os.write(config.ready_fd, b"1")
            os.close(config.ready_fd)

    async def stop(self) -> None:
        """Drain, then close what is left."""
        await asyncio.gather(self._stop(), *(one.stop() for one in self._also))

    async def _stop(self) -> None:
        self._app.draining = True
        if self._server is not None:
            self._server.close()
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
            assert self._listener is not None
            self._listener.close()
        await self._until_none(self._config.drain_s)
        for connection in list(self.connections.open):
            connection.shutdown()
        await self._until_none(self._config.end_s)
        for connection in list(self.connections.open):
            connection.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._handshakes, return_exceptions=True)

    def hurry(self) -> None:
        """Wait for nobody any more."""
        self._at_once = True
        for one in self._also:
            one.hurry()

    async def _until_none(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        still = self.connections.open
        while still and time.monotonic() < until and not self._at_once:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _accept(self, listener: socket.socket, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:  # no file descriptor is left, say
                _log.warning("no connection is accepted for a moment: %s", error)
                await asyncio.sleep(_ACCEPT_AGAIN_S)
                continue
            task = loop.create_task(self._shake_hands(accepted, tls))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, accepted: socket.socket, tls: ssl.SSLContext) -> None:
        try:
            await HttpConnection(self.connections).shake_hands(accepted, tls)
        except (OSError, asyncio.CancelledError):  # ssl.SSLError is an OSError
            accepted.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._config.bounds.sweep_s)
            try:
                self.connections.sweep()
            except Exception:
                _log.exception("the sweep of connections failed; it is tried again")


def serve(app: Service, config: HttpConfig, others: Sequence[Transport] = ()) -> None:
    """Answer until SIGTERM or SIGINT: on the inherited socket, or on one of its own, and on what
    ``others`` listen to. A second signal ends it without waiting for anybody."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(app, config, others))


async def _serve(app: Service, config: HttpConfig, others: Sequence[Transport]) -> None:
    loop, asked, server = asyncio.get_running_loop(), asyncio.Event(), HttpServer(app, config)

    def leave() -> None:
        if asked.is_set():
            server.hurry()
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    await app.start()
    try:
        for other in others:  # the supervisor counts on all once HTTP is there
            await other.start()
        await server.start()
        await asked.wait()
        await asyncio.gather(server.stop(), *(other.stop() for other in others))
    finally:
        await app.stop()
