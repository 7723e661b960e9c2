"""A gateway worker on real ports, in a thread, for real clients."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import uvloop
from collector import collector_kept
from inference.harness import Harness

from windvane.apps.gateway.bound_model import BoundModel
from windvane.apps.gateway.grpc_front import FrontBounds
from windvane.apps.gateway.grpc_server import GrpcConfig, GrpcServer
from windvane.apps.gateway.grpc_service import GrpcService
from windvane.apps.gateway.http_server import AlsoListen, HttpConfig, HttpServer
from windvane.core.routing import ModelRoute
from windvane.ports.certificate import Certificate


@dataclass
class Live:
    harness: Harness
    port: int
    bound_port: int
    grpc_port: int
    by_grpc: GrpcServer


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@contextmanager
def live(
    *routes: ModelRoute,
    prepare: Callable[[Harness], object] = lambda _: None,
    bound: tuple[str, str] = ("late", "wv_acme"),
    within_s: float = 20.0,
    tls: Certificate | None = None,
    max_body_bytes: int = 1 << 20,
    grpc_bounds: FrontBounds | None = None,
) -> Iterator[Live]:
    """``bound``: the model and the key of the extra port."""
    started = threading.Event()
    made: list[Live] = []
    failed: list[BaseException] = []
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        harness = Harness()
        prepare(harness)
        harness.feed.publish(harness.table(*routes))
        port = free_port()
        also = [AlsoListen(port, BoundModel(harness.app, *bound))]
        config = HttpConfig("127.0.0.1", 0, drain_s=0, also=also, tls=tls)
        server = HttpServer(harness.worker, config)
        by_grpc = GrpcServer(
            GrpcService(harness.worker.engine, harness.app.check_ready, harness.app.throttle),
            GrpcConfig(
                "127.0.0.1",
                0,
                max_body_bytes,
                drain_s=1.0,
                tls=tls,
                bounds=grpc_bounds or FrontBounds(),
            ),
        )
        await harness.worker.start()
        await by_grpc.start()
        await server.start()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        made.append(Live(harness, server.port, port, by_grpc.port, by_grpc))
        started.set()
        await ended.wait()
        await asyncio.gather(server.stop(), by_grpc.stop())
        await harness.worker.stop()
        await harness.close()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve())
        except BaseException as error:
            failed.append(error)
            started.set()

    with collector_kept():
        thread = threading.Thread(target=work, name="live-gateway")
        thread.start()
        try:
            assert started.wait(within_s), "the gateway did not start"
            if failed:
                raise failed[0]
            yield made[0]
        finally:
            for end in stop:
                end()
            thread.join(within_s)
    assert not thread.is_alive()
    if failed:
        raise failed[0]


def ask(
    port: int, method: str, path: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()
) -> tuple[int, dict[str, str], bytes]:
    """One request by the standard library's client."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body or None, dict(headers))
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, told, answer.read()
    finally:
        connection.close()
