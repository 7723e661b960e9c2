"""One worker behind a real socket, and clients that speak HTTP to it by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
import uvloop
from inference.harness import Harness, body, run, until
from uvicorn.server import ServerState

from windvane.apps.gateway.protocol import protocol_of

WHOLE = body(1.0)
GOOD = b"Authorization: Bearer wv_acme\r\n"
BOLT = b"Authorization: Bearer wv_bolt\r\n"
PREDICT = b"/v1/models/late/predict"


@dataclass
class Said:
    status: int
    headers: dict[str, str]
    body: Any


class Client:
    """One connection, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, *parts: bytes) -> None:
        self._writer.write(b"".join(parts))

    async def flush(self, harness: Harness) -> None:
        """What was sent so far is with the server, by itself."""
        await self._writer.drain()
        for _ in range(20):
            await asyncio.sleep(0)

    async def answer(self) -> Said:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        read = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Said(int(head[0].split()[1]), headers, json.loads(read) if read else None)

    async def at_end(self) -> bool:
        return await self._reader.read(1) == b""

    def close(self) -> None:
        self._writer.close()


def hold(harness: Harness) -> None:
    """Executions run apart from now on, and end when the predictor is let go."""
    harness.queues[0].apart = True
    harness.predictor().hold()


@dataclass
class Wire:
    harness: Harness
    port: int
    state: ServerState
    straight: int = 0
    by_the_book: int = 0

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield client
        finally:
            client.close()


def post(given: bytes = WHOLE, path: bytes = PREDICT, extra: bytes = GOOD) -> bytes:
    length = b"Content-Length: %d\r\n\r\n" % len(given)
    return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + extra + length + given


def on_the_wire(
    story: Callable[[Wire], Awaitable[None]], *, connections: int = 100, **settings: Any
) -> None:
    async def told(harness: Harness) -> None:
        gateway, wire = harness.worker, Wire(harness, 0, ServerState())
        await harness.publish()

        class Counting(protocol_of(gateway)):  # type: ignore[misc]
            def _by_the_book(self, given: Any) -> None:
                wire.by_the_book += 1
                super()._by_the_book(given)

        real = gateway.straight

        def straight(*given: Any) -> bool:
            went = real(*given)
            wire.straight += went
            return went

        gateway.straight = straight  # type: ignore[method-assign]
        config = uvicorn.Config(
            gateway, lifespan="off", access_log=False, limit_concurrency=connections
        )
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Counting(config, wire.state, {}), "127.0.0.1", 0)
        wire.port = server.sockets[0].getsockname()[1]
        try:
            await story(wire)
        finally:
            server.close()
            for connection in list(wire.state.connections):
                connection.transport.abort()
            await until(lambda: not wire.state.connections and not wire.state.tasks)
            await server.wait_closed()

    run(told, loop=uvloop.new_event_loop, **settings)
