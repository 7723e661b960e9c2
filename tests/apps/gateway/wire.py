"""One worker behind a real socket, and clients that speak HTTP to it by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import uvloop
from apps.gateway.test_http_protocol import Client, closed, listening
from apps.gateway.test_http_protocol import Wire as Listening
from inference.harness import Harness, body, run

from windvane.apps.gateway.answers import Header
from windvane.apps.gateway.http_head import RequestHead
from windvane.apps.gateway.http_protocol import BodySink, Bounds, Reply
from windvane.apps.gateway.http_server import HttpConfig
from windvane.apps.gateway.worker import GatewayWorker

WHOLE = body(1.0)
GOOD = b"Authorization: Bearer wv_acme\r\n"
BOLT = b"Authorization: Bearer wv_bolt\r\n"
PREDICT = b"/v1/models/late/predict"


class Served:
    """The worker as an application. Its harness follows the feed, so it is not started."""

    def __init__(self, worker: GatewayWorker) -> None:
        self._worker = worker

    def on_head(self, head: RequestHead, reply: Reply) -> BodySink | None:
        return self._worker.on_head(head, reply)

    def on_error(self, status: int, detail: str) -> tuple[Sequence[Header], bytes]:
        return self._worker.on_error(status, detail)

    def defer(self, work: Callable[[], None]) -> None:
        self._worker.defer(work)

    @property
    def draining(self) -> bool:
        return self._worker.draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self._worker.draining = value

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass
class Wire:
    harness: Harness
    listening: Listening

    @property
    def connections(self) -> list[Any]:
        return list(self.listening.server.connections.open)

    def client(self) -> AbstractAsyncContextManager[Client]:
        return self.listening.client()


def post(given: bytes = WHOLE, path: bytes = PREDICT, extra: bytes = GOOD) -> bytes:
    length = b"Content-Length: %d\r\n\r\n" % len(given)
    return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + extra + length + given


def on_the_wire(
    story: Callable[[Wire], Awaitable[None]],
    *,
    bounds: dict[str, Any] | None = None,
    **settings: Any,
) -> None:
    """The story on a worker with one model, on a port of its own."""

    async def told(harness: Harness) -> None:
        await harness.publish()
        config = HttpConfig("127.0.0.1", 0, bounds=Bounds(**(bounds or {})), drain_s=0)
        wire = await listening(Served(harness.worker), config)  # type: ignore[arg-type]
        try:
            await story(Wire(harness, wire))
        finally:
            await closed(wire)

    run(told, loop=uvloop.new_event_loop, **settings)
