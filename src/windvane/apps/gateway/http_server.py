"""uvicorn with bounded connections, leaving without losing a request."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import uvicorn

from windvane.apps.gateway.http_connections import Connections
from windvane.apps.gateway.http_protocol import Application, Bounds, HttpConnection
from windvane.apps.gateway.http_tls import ReloadedCertificate

_log = logging.getLogger(__name__)
_BACKLOG = 4_096
_LOOK_EVERY_S = 0.02


class Service(Application, Protocol):
    """An application with a beginning and an end."""

    async def start(self) -> None:
        """Before the first connection is accepted."""
        ...

    async def stop(self) -> None:
        """After the last one was closed."""
        ...


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
    end_s: int = 5
    bounds: Bounds = field(default_factory=Bounds)
    tls: ReloadedCertificate | ssl.SSLContext | None = None


class HttpServer(uvicorn.Server):
    """One worker's. Other workers go on accepting from the same socket while it leaves."""

    def __init__(self, app: Service, config: HttpConfig) -> None:
        tls = config.tls
        self._certificate = tls if isinstance(tls, ReloadedCertificate) else None
        context = tls.context if isinstance(tls, ReloadedCertificate) else tls
        self.connections = Connections(app, config.bounds, context)
        protocol: Any = partial(HttpConnection, self.connections)
        super().__init__(
            uvicorn.Config(
                _lifespan_of(app),
                host=config.host,
                port=config.port,
                loop="uvloop",
                http=protocol,
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                log_level="warning",
                backlog=_BACKLOG,
                timeout_graceful_shutdown=config.end_s,
                server_header=False,
                proxy_headers=False,
            )
        )
        self._app = app
        self._settings = config
        self._tasks: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.should_exit:
            return
        self._tasks = [asyncio.create_task(self._sweep())]
        if self._certificate is not None:
            self._tasks.append(asyncio.create_task(self._certificate.watch()))
        if self._settings.ready_fd is not None:
            os.write(self._settings.ready_fd, b"1")
            os.close(self._settings.ready_fd)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.draining = True
        for server in self.servers:
            server.close()
        still = self.connections.open
        until = time.monotonic() + self._settings.drain_s
        while still and time.monotonic() < until and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)
        await super().shutdown(sockets)
        for connection in list(still):
            connection.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._settings.bounds.sweep_s)
            try:
                self.connections.sweep()
            except Exception:
                _log.exception("the sweep of connections failed; it is tried again")


def serve(app: Service, config: HttpConfig) -> None:
    """Answer until SIGTERM or SIGINT: on the inherited socket, or on one of its own."""
    server = HttpServer(app, config)
    if config.listen_fd is None:
        server.run()
    else:
        server.run(sockets=[socket.socket(fileno=config.listen_fd)])


def _lifespan_of(app: Service) -> Callable[..., Awaitable[None]]:
    """All of ASGI that is left: requests never come this way."""

    async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            raise RuntimeError("no request comes by ASGI")
        for step, work in (("startup", app.start), ("shutdown", app.stop)):
            await receive()
            await work()
            await send({"type": f"lifespan.{step}.complete"})

    return lifespan
