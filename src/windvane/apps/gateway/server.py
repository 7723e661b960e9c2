"""uvicorn, leaving without losing a request."""

from __future__ import annotations

import asyncio
import os
import socket
import time

import uvicorn

from windvane.apps.gateway.app import Gateway
from windvane.apps.gateway.protocol import protocol_of

_LOOK_EVERY_S = 0.02
_BACKLOG = 4_096


class DrainingServer(uvicorn.Server):
    """On SIGTERM it takes no new connection, answers what comes on those that are open and
    tells each client with that answer to close. Connections that stay silent for ``drain_s``
    are closed then. Other workers go on accepting from the same socket."""

    def __init__(
        self, gateway: Gateway, config: uvicorn.Config, drain_s: float, ready_fd: int | None
    ) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._drain_s = drain_s
        self._ready_fd = ready_fd

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready_fd is not None and not self.should_exit:
            os.write(self._ready_fd, b"1")
            os.close(self._ready_fd)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.draining = True
        for server in self.servers:
            server.close()
        until = time.monotonic() + self._drain_s
        while self.server_state.connections and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)
        await super().shutdown(sockets)


def serve(
    gateway: Gateway,
    host: str,
    port: int,
    *,
    listen_fd: int | None,
    ready_fd: int | None,
    drain_s: float,
) -> None:
    """Answer until SIGTERM or SIGINT: on the inherited socket, or on one of its own.

    ``ready_fd`` is told once connections are accepted.
    """
    config = uvicorn.Config(
        gateway,
        host=host,
        port=port,
        loop="uvloop",
        http=protocol_of(gateway),
        ws="none",
        access_log=False,
        log_level="warning",
        backlog=_BACKLOG,
        limit_concurrency=_BACKLOG,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=75,
        server_header=False,
        proxy_headers=False,
    )
    server = DrainingServer(gateway, config, drain_s, ready_fd)
    if listen_fd is None:
        server.run()
    else:
        server.run(sockets=[socket.socket(fileno=listen_fd)])
