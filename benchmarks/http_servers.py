"""The same work behind each HTTP server: ``python http_servers.py SERVER WORK PORT``.

``predict`` does what the gateway does beside its model: a look-up of the key, a typed decode of
30 features, a batch at the next turn of the loop, an answer of 450 bytes. ``echo`` does nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import httptools
import msgspec

FEATURES = [f"feature_{i:02d}" for i in range(30)]
KEY = b"Bearer wv_bench_0123456789abcdef"
HEADERS = (
    (b"content-type", b"application/json"),
    (b"x-request-id", b"0123456789abcdef01234567"),
    (b"windvane-version", b"2026-11-01"),
)
_ROW = msgspec.defstruct("Row", [(name, float) for name in FEATURES])
_INSTANCE = msgspec.defstruct("Instance", [("features", _ROW)])
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
    msgspec.defstruct("Body", [("instances", list[_INSTANCE])])
)
_ENCODE = msgspec.json.Encoder().encode
_WHY = "champion of the routing table; " * 9
Answer = Callable[[int, bytes], None]


class Predict:
    """A row of each request, all of one turn of the loop together."""

    max_bytes = 65_536

    def __init__(self) -> None:
        self._keys: Mapping[bytes, str] = {KEY: "acme"}
        self._batch: list[tuple[Answer, Any, str]] = []

    def __call__(self, key: bytes | None, body: bytes, answer: Answer) -> None:
        tenant = self._keys.get(key or b"")
        if tenant is None:
            answer(401, b"{}")
            return
        row = _DECODER.decode(body).instances[0].features
        if not self._batch:
            asyncio.get_running_loop().call_soon(self._flush)
        self._batch.append((answer, row, tenant))

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        for answer, row, tenant in batch:
            told = {"value": row.feature_00, "version": "1", "arm": "champion", "flags": []}
            told["why"] = _WHY
            body = {"request_id": "0" * 24, "model": tenant, "predictions": [told]}
            answer(200, _ENCODE(body))


def echo(key: bytes | None, body: bytes, answer: Answer) -> None:
    del key
    answer(200, body)


Work = Callable[[bytes | None, bytes, Answer], None]


def subclass(work: Work, port: int) -> None:
    """uvicorn, its protocol subclassed for whole requests: the gateway's until ADR 0017."""
    from uvicorn_subclass import serve

    class Gateway:
        draining = False

        async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "lifespan":
                raise RuntimeError("every request is whole")
            for what in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{what}.complete"})

        def later(self, work: Callable[[], None]) -> None:
            asyncio.get_running_loop().call_soon(work)

        def straight(
            self, headers: dict[bytes, bytes], path: str, body: bytes, reply: Any, began_ns: int
        ) -> bool:
            del path, began_ns
            extra = HEADERS[1:]  # it writes the content type itself
            key = headers.get(b"authorization")
            work(key, body, lambda status, told: reply(status, extra, told))
            return True

    gateway: Any = Gateway()
    serve(gateway, port)


class Bare(asyncio.Protocol):
    """The least that a server of our own could do: no bound, no timer, no order, no refusal."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers = {}
        self._body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._work(self._headers.get(b"authorization"), self._body, self._answer)

    def _answer(self, status: int, body: bytes) -> None:
        head = [b"HTTP/1.1 %d OK\r\ndate: Sat, 28 Nov 2026 18:14:14 GMT\r\n" % status]
        for name, value in HEADERS:
            head += (name, b": ", value, b"\r\n")
        head += (b"content-length: %d\r\n\r\n" % len(body), body)
        self._transport.write(b"".join(head))


def bare(work: Work, port: int) -> None:
    """Nothing but the event loop and the parser."""
    import uvloop

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Bare(work), "127.0.0.1", port, backlog=4_096, start_serving=False
        )
        await server.serve_forever()

    uvloop.run(main())


def own(work: Work, port: int) -> None:
    """A protocol of our own, with all its bounds: the gateway's `http_protocol.py`."""
    from windvane.apps.gateway.http_server import HttpConfig, serve

    class Sink:
        __slots__ = ("key", "reply")
        max_bytes = Predict.max_bytes

        def __init__(self, key: bytes | None, reply: Any) -> None:
            self.key = key
            self.reply = reply

        def on_body(self, body: bytes) -> None:
            reply = self.reply
            work(self.key, body, lambda status, told: reply(status, HEADERS, told))

        def on_abort(self) -> None:
            pass

    class Service:
        draining = False

        async def start(self) -> None: ...
        async def stop(self) -> None: ...
        def on_head(self, head: Any, reply: Any) -> Sink:
            return Sink(head.headers.get(b"authorization"), reply)

        def on_error(self, status: int, detail: str) -> tuple[tuple[()], bytes]:
            del status
            return (), detail.encode()

        def defer(self, work: Callable[[], None]) -> None:
            asyncio.get_running_loop().call_soon(work)

    serve(Service(), HttpConfig("127.0.0.1", port, drain_s=0.1))


def granian(work: Work, port: int) -> None:
    """A server in Rust, by its own interface, RSGI."""
    import granian as server  # pyright: ignore[reportMissingImports]
    from granian.constants import Interfaces, Loops  # pyright: ignore[reportMissingImports]

    del work
    server.Granian(
        "http_servers:rsgi",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        workers=1,
        runtime_threads=1,
        backlog=4_096,
        log_enabled=False,
    ).serve()


_rsgi_work: Work = Predict() if os.environ.get("HTTP_SERVERS_WORK") == "predict" else echo
_RSGI_HEADERS = [(name.decode(), value.decode()) for name, value in HEADERS]


async def rsgi(scope: Any, protocol: Any) -> None:
    body = await protocol()
    told: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    key = scope.headers.get("authorization")
    _rsgi_work(key and key.encode(), body, lambda *answer: told.set_result(answer))
    protocol.response_bytes(*_rsgi_answer(await told))


def _rsgi_answer(told: tuple[int, bytes]) -> tuple[int, list[tuple[str, str]], bytes]:
    return told[0], _RSGI_HEADERS, told[1]


SERVERS = {
    "uvicorn, subclassed": subclass,
    "own protocol": own,
    "own, without bounds": bare,
    "granian, RSGI": granian,
}
WORKS: dict[str, Work] = {"predict": Predict(), "echo": echo}

if __name__ == "__main__":
    SERVERS[sys.argv[1]](WORKS[sys.argv[2]], int(sys.argv[3]))
