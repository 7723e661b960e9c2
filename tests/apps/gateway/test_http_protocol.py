"""The transport by itself: a real server, clients that speak HTTP by hand, a small application."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from httptools import HttpParserError, HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from windvane.apps.gateway.http_chunks import BrokenChunks, ChunkedBody, ChunksTooLarge
from windvane.apps.gateway.http_protocol import Bounds, Reply, RequestHead
from windvane.apps.gateway.http_server import HttpConfig, HttpServer

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
HOST = b"POST /a HTTP/1.1\r\nHost: x\r\n"
SOON = {"sweep_s": 0.02}


def post(body: bytes, extra: bytes = b"", path: bytes = b"/a") -> bytes:
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + extra + length + body


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + end


@dataclass
class Request:
    head: RequestHead
    reply: Reply
    max_bytes: int
    answers: bool
    body: bytes | None = None
    aborted: bool = False

    def on_body(self, body: bytes) -> None:
        assert self.body is None
        assert not self.aborted
        self.body = body
        if self.answers:
            self.answer()

    def on_abort(self) -> None:
        assert self.body is None
        assert not self.aborted
        self.aborted = True

    def answer(self, body: bytes | None = None, status: int = 200) -> None:
        told = (self.body or b"") if body is None else body
        self.reply(status, [(b"content-type", b"text/plain")], told)


@dataclass
class App:
    """Answers each request with its body, unless it is told not to."""

    draining: bool = False
    answers: bool = True
    refuses: int = 0  # with this status, once the head is there
    max_bytes: int = 100_000
    requests: list[Request] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    deferred: list[Callable[[], None]] = field(default_factory=list)

    def on_head(self, head: RequestHead, reply: Reply) -> Request | None:
        request = Request(head, reply, self.max_bytes, self.answers)
        self.requests.append(request)
        if not self.refuses:
            return request
        request.answer(b"no", self.refuses)
        return None

    def on_error(self, status: int, detail: str) -> tuple[Sequence[tuple[bytes, bytes]], bytes]:
        self.errors.append(status)
        return [(b"content-type", b"text/plain")], detail.encode()

    def defer(self, work: Callable[[], None]) -> None:
        self.deferred.append(work)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass


@dataclass
class Said:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    async def answer(self, *, body: bool = True) -> Said:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        length = int(headers.get("content-length", 0)) if body else 0
        return Said(int(head[0].split()[1]), headers, await self.reader.readexactly(length))

    async def at_end(self) -> bool:
        try:
            return await self.reader.read(1) == b""
        except ConnectionResetError:
            return True

    async def ask(self, *parts: bytes) -> Said:
        self.send(*parts)
        return await self.answer()


@dataclass
class Wire:
    app: App
    server: HttpServer
    port: int

    @property
    def open(self) -> int:
        return len(self.server.connections.open)

    @asynccontextmanager
    async def client(self, source: str = "127.0.0.1", **options: Any) -> AsyncIterator[Client]:
        client = Client(
            *await asyncio.open_connection(
                "127.0.0.1", self.port, local_addr=(source, 0), **options
            )
        )
        try:
            yield client
        finally:
            client.writer.close()
            with contextlib.suppress(OSError):
                await client.writer.wait_closed()


async def until(holds: Callable[[], object], within_s: float = 10.0) -> None:
    give_up = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up, "it does not come true"
        await asyncio.sleep(0.001)


async def listening(app: App, config: HttpConfig) -> Wire:
    server = HttpServer(app, config)
    await server.start()
    return Wire(app, server, server.port)


async def closed(wire: Wire) -> None:
    """Drop all connections, and let the server end."""
    for connection in list(wire.server.connections.open):
        connection.drop()
    await wire.server.stop()
    await until(lambda: not wire.open)
    assert not wire.server.connections._by_address


def in_a_loop(told: Awaitable[None]) -> None:
    async def within_time() -> None:
        await asyncio.wait_for(told, 30)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(within_time())


def on_the_wire(
    story: Callable[[Wire], Awaitable[None]], app: App | None = None, tls: Any = None, **bounds: Any
) -> None:
    async def told() -> None:
        config = HttpConfig("127.0.0.1", 0, bounds=Bounds(**bounds), tls=tls, drain_s=0)
        wire = await listening(app or App(), config)
        try:
            await story(wire)
        finally:
            await closed(wire)

    in_a_loop(told())


def test_a_request_is_answered_and_its_connection_lives_on() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            for _ in range(3):
                message = await client.ask(
                    post(b"hello", b"X-A: 1\r\nX-a:  2 \r\n", b"/a%20b?c=%20")
                )
                assert (message.status, message.body) == (200, b"hello")
                assert {"date", "content-type", "content-length"} == set(message.headers)
        head = wire.app.requests[0].head
        assert (head.method, head.path, head.query) == ("POST", "/a b", b"c=%20")
        assert head.headers == {b"host": b"x", b"x-a": b"1, 2", b"content-length": b"5"}
        assert 0 < head.began_ns <= time.monotonic_ns()

    on_the_wire(story)


@pytest.mark.parametrize(
    "whole", [post(b"hello"), chunked(b"he", b"llo"), b"\r\n" + post(b"hello")]
)
def test_where_it_is_cut_makes_no_difference(whole: bytes) -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            for cut in range(1, len(whole)):
                seen = len(wire.app.requests)
                client.send(whole[:cut])
                if cut >= whole.index(b"\r\n\r\n") + 4:
                    await until(lambda seen=seen: len(wire.app.requests) == seen + 1)
                else:
                    (connection,) = wire.server.connections.open
                    await until(lambda cut=cut, c=connection: len(c._held) >= cut - 2)
                message = await client.ask(whole[cut:])
                assert (message.status, message.body) == (200, b"hello")

    on_the_wire(story)


def test_a_request_byte_by_byte() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            for whole in (post(b"hello"), chunked(b"he", b"llo", end=b"0;x=y\r\nA: b\r\n\r\n")):
                for byte in whole:
                    client.send(bytes([byte]))
                    await asyncio.sleep(0)
                assert (await client.answer()).body == b"hello"

    on_the_wire(story)


def test_answers_keep_the_order_of_their_requests() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            sent = [b"%d" % i for i in range(300)]
            client.send(*(post(b) if int(b) % 3 else chunked(b) for b in sent))
            assert [(await client.answer()).body for _ in sent] == sent

    on_the_wire(story)


def test_what_is_behind_a_request_is_not_even_parsed_and_reading_stops() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            client.send(post(b"1"))
            await until(lambda: wire.app.requests)
            client.send(*[post(b"2")] * 100_000)  # some megabytes
            (connection,) = wire.server.connections.open
            await until(lambda: connection._paused)
            assert len(connection._behind) <= 2**19
            assert len(wire.app.requests) == 1
            wire.app.answers = True
            wire.app.requests[0].answer()
            assert [(await client.answer()).body for _ in range(50)] == [b"1"] + [b"2"] * 49

    on_the_wire(story, App(answers=False))


def test_after_a_429_what_comes_next_waits_for_its_turn() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            for together in (True, False):
                wire.app.refuses, seen = 429, len(wire.app.requests)
                client.send(*[GET] * (1 + together))
                assert (await client.answer()).status == 429
                wire.app.refuses = 0
                if not together:
                    client.send(GET)
                await until(lambda: wire.app.deferred)
                assert len(wire.app.requests) == seen + 1
                wire.app.deferred.pop()()
                assert (await client.answer()).status == 200

    on_the_wire(story)


def test_head_is_answered_as_get_is_without_the_body() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            client.send(GET.replace(b"GET", b"HEAD"))
            await until(lambda: wire.app.requests)
            assert wire.app.requests[0].head.method == "GET"
            wire.app.requests[0].answer(b"12345")
            message = await client.answer(body=False)
            assert (message.status, message.headers["content-length"]) == (200, "5")
            client.send(GET)
            await until(lambda: len(wire.app.requests) == 2)
            wire.app.requests[1].answer(b"67890")
            assert (await client.answer()).body == b"67890"

    on_the_wire(story, App(answers=False))


def test_who_waits_for_100_continue_is_told_to() -> None:
    async def story(wire: Wire) -> None:
        extra = b"Expect: 100-Continue\r\n"
        async with wire.client() as client:
            client.send(post(b"hello", extra)[:-5])
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await client.ask(b"hello")).body == b"hello"
            assert (await client.ask(post(b"hello", extra))).body == b"hello", "it is there"
            wire.app.refuses = 401
            message = await client.ask(post(b"hello", extra)[:-5])
            assert (message.status, message.headers["connection"]) == (401, "close")
            assert await client.at_end()

    on_the_wire(story)


@pytest.mark.parametrize(
    ("sent", "closes"),
    [
        (post(b"a", b"Connection: close\r\n"), True),
        (post(b"a", b"Connection: keep-alive, close\r\n"), True),
        (post(b"a").replace(b"1.1", b"1.0"), True),
        (post(b"a", b"Connection: keep-alive\r\n").replace(b"1.1", b"1.0"), False),
    ],
)
def test_the_connection_ends_when_the_client_says_so(sent: bytes, closes: bool) -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            message = await client.ask(sent)
            assert message.body == b"a"
            assert (message.headers.get("connection") == "close") is closes
            if closes:
                assert await client.at_end()
            else:
                assert message.headers["connection"] == "keep-alive", "or HTTP/1.0 would not know"
                assert (await client.ask(GET)).status == 200

    on_the_wire(story)


def test_an_offer_to_upgrade_is_not_taken_and_the_body_is_read() -> None:
    async def story(wire: Wire) -> None:
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
        async with wire.client() as client:
            assert (await client.ask(post(b"hello", upgrade))).body == b"hello"
            assert (await client.ask(GET)).status == 200

    on_the_wire(story)


BAD = {
    "no HTTP": (b"nonsense\r\n\r\n", 400),
    "binary": (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/2": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "RTSP": (b"DESCRIBE rtsp://x/ RTSP/1.0\r\n\r\n", 505),
    "two spaces": (b"GET  /a HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a space in the path": (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a byte in the path": (b"GET /\xe4 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "no UTF-8 in the path": (b"GET /%e4 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a fragment": (b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "no host": (b"GET /a HTTP/1.1\r\n\r\n", 400),
    "two hosts": (HOST + b"Host: y\r\n\r\n", 400),
    "two keys": (HOST + b"Authorization: a\r\nauthorization: b\r\n\r\n", 400),
    "two request ids": (HOST + b"X-Request-Id: a\r\nX-Request-Id: b\r\n\r\n", 400),
    "two lengths": (HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    "two lengths in one": (HOST + b"Content-Length: 1, 1\r\n\r\na", 400),
    "a signed length": (HOST + b"Content-Length: +1\r\n\r\na", 400),
    "a negative length": (HOST + b"Content-Length: -1\r\n\r\na", 400),
    "a length that is none": (HOST + b"Content-Length: 0x1\r\n\r\na", 400),
    "a length without end": (HOST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
    "length, chunked": (
        HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "chunked, length": (
        HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400,
    ),
    "gzip, chunked": (HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked, gzip": (HOST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (HOST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400),
    "xchunked": (HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "identity": (HOST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "chunked in HTTP/1.0": (chunked(b"a").replace(b"1.1", b"1.0"), 400),
    "chunked, upgrade, length": (
        HOST + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "a line feed alone": (HOST + b"X: a\nY: b\r\n\r\n", 400),
    "a line feed alone, first": (b"GET /a HTTP/1.1\nHost: x\r\n\r\n", 400),
    "line feeds alone": (b"GET /a HTTP/1.1\nHost: x\n\n", 400),
    "a return alone": (HOST + b"X: a\rY: b\r\n\r\n", 400),
    "a folded line": (HOST + b"X: a\r\n b\r\n\r\n", 400),
    "a NUL": (HOST + b"X: a\0b\r\n\r\n", 400),
    "a space before the colon": (HOST + b"Content-Length : 1\r\n\r\na", 400),
    "a space before the name": (b"GET /a HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    "no name": (HOST + b": a\r\n\r\n", 400),
    "no colon": (HOST + b"abc\r\n\r\n", 400),
    "CONNECT": (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "another expectation": (HOST + b"Expect: tea\r\n\r\n", 417),
    "a chunk without size": (chunked(end=b"\r\n"), 400),
    "a chunk of negative size": (chunked(end=b"-1\r\n"), 400),
    "a chunk of hexadecimal size": (chunked(end=b"0x1\r\na\r\n0\r\n\r\n"), 400),
    "a chunk with a longer size": (chunked(end=b"1\r\nab\r\n0\r\n\r\n"), 400),
    "a chunk without line end": (chunked(end=b"1\r\na0\r\n\r\n"), 400),
    "a chunk with a line feed": (chunked(end=b"1\na\r\n0\r\n\r\n"), 400),
    "a chunk of too many digits": (chunked(end=b"0" * 16 + b"1\r\na\r\n0\r\n\r\n"), 400),
    "an extension without end": (chunked(end=b"1;" + b"a" * 300 + b"\r\na\r\n0\r\n\r\n"), 400),
    "an extension with a return": (chunked(end=b"1;a\rb\r\na\r\n0\r\n\r\n"), 400),
    "a trailer that is none": (chunked(end=b"0\r\nab\r\n\r\n"), 400),
    "a trailer of two lines": (chunked(end=b"0\r\nA: b\r\n c\r\n\r\n"), 400),
    "trailers without end": (chunked(end=b"0\r\n" + b"A: b\r\n" * 5_000), 400),
    "a body that is too long": (post(b"x" * 100_001), 413),
    "a body that says so": (HOST + b"Content-Length: 100001\r\n\r\n", 413),
    "chunks that are too long": (chunked(b"x" * 60_000, b"x" * 60_000), 413),
    "a chunk that says so": (chunked(end=b"ffffffffffffff\r\n"), 413),
    "too many chunks": (chunked(*[b"x"] * 20_000), 413),
    "a long request line": (b"GET /" + b"a" * 8_200 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "many header lines": (HOST + b"A: b\r\n" * 101 + b"\r\n", 431),
    "a long header": (HOST + b"A: " + b"b" * 66_000 + b"\r\n\r\n", 431),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_nonsense_is_refused_and_nothing_behind_it_is_served(name: str) -> None:
    async def story(wire: Wire) -> None:
        sent, status = BAD[name]
        evil = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"

        async def all_is_well() -> None:
            """Also for whole requests, which share a parser, whatever others sent."""
            async with wire.client() as client:
                for whole in (post(b"hello"), GET, post(b"hello")):
                    message = await client.ask(whole)
                    assert (message.status, message.body) == (
                        200,
                        b"hello" if whole != GET else b"",
                    )

        await all_is_well()
        for pieces in ((sent + evil,), (sent, evil), (GET + sent + evil,)):
            async with wire.client() as client:
                for piece in pieces:
                    client.send(piece)
                    await client.writer.drain()
                if pieces[0].startswith(GET) and not sent.startswith(GET):
                    assert (await client.answer()).status == 200
                message = await client.answer()
                assert (message.status, message.headers["connection"]) == (status, "close")
                assert await client.at_end()
            await all_is_well()
        assert "/evil" not in {request.head.path for request in wire.app.requests}
        assert all(r.aborted for r in wire.app.requests if r.body is None)
        await until(lambda: wire.open == 0)

    on_the_wire(story)


@pytest.mark.parametrize(
    "piece", [b"a" * 65_536, b"A: b\r\n" * 10_000, b"A: " + b"b" * 65_000 + b"\r\n"]
)
def test_a_head_of_many_megabytes_is_never_kept(piece: bytes) -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            client.send(b"GET /" if piece[0] == 97 else b"GET / HTTP/1.1\r\n")
            sent = 0

            async def push() -> None:
                nonlocal sent
                while sent < 60_000_000:
                    client.send(piece)
                    await client.writer.drain()
                    sent += len(piece)

            pushing = asyncio.create_task(push())
            message = await client.answer()
            assert message.status == (414 if piece[0] == 97 else 431)
            with pytest.raises(ConnectionError):
                await pushing
            assert sent < 20_000_000, "most of it stayed with the client"
        assert wire.app.requests == []

    on_the_wire(story)


@pytest.mark.parametrize("sent", [b"GET /a HT", GET[:-2], b"\r\nGET", HOST])
def test_half_a_head_is_closed_in_time(sent: bytes) -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            message = await client.ask(sent)
            assert (message.status, wire.app.errors) == (408, [408])
            assert await client.at_end()

    on_the_wire(story, head_s=0.1, **SOON)


def test_a_head_that_drips_is_closed_in_time_too() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            client.send(b"GET /a HTTP/1.1\r\nHost: x\r\nA: ")
            answer = asyncio.create_task(client.answer())
            while not answer.done():
                client.send(b"a")
                await asyncio.sleep(0.005)
            assert (await answer).status == 408

    on_the_wire(story, head_s=0.2, **SOON)


@pytest.mark.parametrize("sent", [post(b"hello")[:-1], chunked(b"hello", end=b"")])
def test_half_a_body_is_refused_in_time(sent: bytes) -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            assert (await client.ask(sent)).status == 408
            assert await client.at_end()
            assert wire.app.requests[0].aborted

    on_the_wire(story, body_s=0.1, **SOON)


def test_idle_connections_are_closed_and_busy_ones_are_not() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as silent, wire.client() as idle, wire.client() as busy:
            wire.app.answers = True
            assert (await idle.ask(GET)).status == 200
            wire.app.answers = False
            busy.send(GET)
            await until(lambda: len(wire.app.requests) == 2)
            assert await silent.at_end()
            assert await idle.at_end()
            assert wire.open == 1
            wire.app.requests[1].answer(b"here")
            assert (await busy.answer()).body == b"here"

    on_the_wire(story, idle_s=0.1, head_s=0.05, body_s=0.05, **SOON)


def test_silent_connections_make_room_those_first_that_never_asked() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as old, wire.client() as busy:
            assert (await old.ask(GET)).status == 200
            wire.app.answers = False
            busy.send(GET)
            await until(lambda: len(wire.app.requests) == 2)
            wire.app.answers = True
            flood = [await asyncio.open_connection("127.0.0.1", wire.port) for _ in range(60)]
            for _, writer in flood[::2]:
                writer.write(b"GET /")  # half a head is no reason to stay
            await until(lambda: wire.server.connections.evicted >= 42)
            assert wire.open == 20
            async with wire.client() as late:
                assert (await late.ask(GET)).status == 200
            assert (await old.ask(GET)).status == 200
            wire.app.requests[1].answer(b"here")
            assert (await busy.answer()).body == b"here"
            for _, writer in flood:
                writer.close()

    on_the_wire(story, connections=20)


def test_the_longest_idle_one_goes_first() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as first, wire.client() as second, wire.client() as third:
            for client in (second, first, third):
                assert (await client.ask(GET)).status == 200
                wire.server.connections.sweep()  # whose clock says how long they are idle
            async with wire.client() as late:
                assert (await late.ask(GET)).status == 200
                assert await second.at_end()
                assert (await first.ask(GET)).status == (await third.ask(GET)).status == 200

    on_the_wire(story, connections=3)


def test_where_all_are_busy_a_new_one_is_told_so() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as one, wire.client() as other:
            for client in (one, other):
                client.send(GET)
            await until(lambda: len(wire.app.requests) == 2)
            async with wire.client() as late:
                assert (await late.answer()).status == 503
                assert await late.at_end()
            assert wire.open == 2

    on_the_wire(story, App(answers=False), connections=2)


def test_one_address_does_not_take_the_room_of_others() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as one, wire.client() as other:
            await until(lambda: wire.open == 2)
            async with wire.client() as third, wire.client("127.0.0.2") as elsewhere:
                assert (await third.answer()).status == 503
                assert (await elsewhere.ask(GET)).status == 200
            one.writer.close()
            await until(lambda: wire.open == 1)
            async with wire.client() as again:
                assert (await again.ask(GET)).status == (await other.ask(GET)).status == 200

    on_the_wire(story, connections_per_address=2)


def test_who_does_not_read_is_not_written_to_without_end() -> None:
    async def story(wire: Wire) -> None:
        client = socket.create_connection(("127.0.0.1", wire.port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.sendall(post(b"x" * 90_000) * 2)
        await until(lambda: wire.app.requests)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            while wire.open:
                await asyncio.wait_for(loop.sock_sendall(client, post(b"x" * 90_000)), 0.5)
        except (TimeoutError, ConnectionError):
            pass
        served = len(wire.app.requests)
        assert served * 90_000 < 20_000_000
        await until(lambda: wire.open == 0)
        client.close()

    on_the_wire(story, write_s=0.3, **SOON)


def test_who_reads_slowly_gets_all_of_it() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client(limit=1_000) as client:
            client.send(*[post(b"x" * 90_000)] * 100)
            for _ in range(100):
                assert (await client.answer()).body == b"x" * 90_000

    on_the_wire(story)


def test_who_is_refused_early_keeps_the_connection_if_the_body_is_short() -> None:
    async def story(wire: Wire) -> None:
        wire.app.refuses = 401
        async with wire.client() as client:
            for sent in (post(b"x" * 50_000), chunked(b"x" * 50_000), post(b"x")):
                client.send(sent[:-1])
                message = await client.answer()
                assert (message.status, "connection" in message.headers) == (401, False)
                client.send(sent[-1:])
            message = await client.ask(HOST + b"Content-Length: 70000000\r\n\r\n")
            assert (message.status, message.headers["connection"]) == (401, "close")
            assert await client.at_end()
        assert all(request.body is None and not request.aborted for request in wire.app.requests)

    on_the_wire(story)


def test_a_refusal_may_come_later_and_its_body_is_dropped_meanwhile() -> None:
    async def story(wire: Wire) -> None:
        held: list[Reply] = []
        wire.app.on_head = lambda head, reply: held.append(reply)  # type: ignore[method-assign]
        async with wire.client() as client:
            for i in range(2):
                client.send(post(b"x" * 1_000))
                await until(lambda i=i: len(held) == i + 1)
                held[i](401, [], b"no")
                assert (await client.answer()).status == 401

    on_the_wire(story)


def test_a_client_that_goes_away_costs_nobody_anything() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as half:
            half.send(post(b"hello")[:-1])
            await until(lambda: wire.app.requests)
        await until(lambda: wire.app.requests[0].aborted)
        async with wire.client() as gone:
            gone.send(post(b"hello"))
            await until(lambda: len(wire.app.requests) == 2)
            next(iter(wire.server.connections.open)).drop()
        await until(lambda: wire.open == 0)
        wire.app.requests[1].answer()  # to nobody
        assert not wire.app.requests[1].aborted, "it had its body"

    on_the_wire(story, App(answers=False))


def test_a_client_that_closes_its_half_gets_its_answers() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            client.send(post(b"1"), post(b"2"))
            client.writer.write_eof()
            for i in range(2):
                await until(lambda i=i: len(wire.app.requests) == i + 1)
                wire.app.requests[i].answer()
                assert (await client.answer()).body == b"%d" % (i + 1)
            assert await client.at_end()

    on_the_wire(story, App(answers=False))


@pytest.mark.parametrize("where", ["on_head", "on_body"])
def test_an_application_that_fails_is_answered_for(where: str, caplog: Any) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("oh")

    async def story(wire: Wire) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(App if where == "on_head" else Request, where, fail)
            async with wire.client() as client:
                assert (await client.ask(GET)).status == 500
                assert await client.at_end()
        async with wire.client() as client:
            assert (await client.ask(GET)).status == 200

    on_the_wire(story)


def test_a_server_that_stops_answers_and_closes() -> None:
    async def told() -> None:
        app = App(answers=False)
        wire = await listening(app, HttpConfig("127.0.0.1", 0, drain_s=0.2))
        async with wire.client() as busy, wire.client() as late, wire.client() as silent:
            busy.send(GET)
            await until(lambda: len(app.requests) == 1 and wire.open == 3)
            stopping = asyncio.create_task(wire.server.stop())
            await until(lambda: app.draining)
            late.send(GET)
            await until(lambda: len(app.requests) == 2)
            with pytest.raises(OSError):
                async with wire.client():
                    pass
            assert await silent.at_end()
            for client, request in zip((busy, late), app.requests, strict=True):
                request.answer(b"a")
                message = await client.answer()
                assert (message.status, message.headers["connection"]) == (200, "close")
                assert await client.at_end()
            await asyncio.wait_for(stopping, 5)

    in_a_loop(told())


def test_a_process_serves_an_inherited_socket_until_sigterm() -> None:
    program = textwrap.dedent("""
        import sys
        from apps.gateway.test_http_protocol import App
        from windvane.apps.gateway.http_server import HttpConfig, serve

        class Service(App):
            async def start(self): print("start", flush=True)
            async def stop(self): print("stop", flush=True)

        listen, ready = map(int, sys.argv[1:])
        serve(Service(), HttpConfig("", 0, listen_fd=listen, ready_fd=ready, drain_s=5.0))
    """)
    listener = socket.create_server(("127.0.0.1", 0))
    ready, told = os.pipe()
    fds = (listener.fileno(), told)
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, fds)],
        pass_fds=fds,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "tests"},
    )
    try:
        os.close(told)
        assert os.read(ready, 1) == b"1"
        assert os.read(ready, 1) == b"", "it is closed behind it"
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(GET)
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")
            process.send_signal(signal.SIGTERM)
            answer = b""
            while b"connection: close" not in answer:  # it drains from some moment on
                client.sendall(GET)
                answer = client.recv(65_536)
                assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert process.wait(10) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b"start\nstop\n"
        with socket.create_connection(listener.getsockname()):
            pass  # the socket outlives its worker
    finally:
        process.kill()
        process.wait()
        os.close(ready)
        listener.close()
        if process.stdout is not None:
            process.stdout.close()


class Reference:
    """What llhttp makes of a body in chunks: the body, and how many bytes it is long."""

    def __init__(self) -> None:
        self.body = b""
        self.whole = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole = True


def llhttp(stream: bytes) -> tuple[bytes, int] | None:
    reference = Reference()
    parser = HttpRequestParser(reference)
    parser.feed_data(HOST + b"Transfer-Encoding: chunked\r\n\r\n")
    for i in range(len(stream)):
        try:
            parser.feed_data(stream[i : i + 1])
        except HttpParserError:
            return None
        if reference.whole:
            return reference.body, i + 1
    return None


PIECES = st.sampled_from(
    [b"0", b"1", b"5", b"a", b"A", b"\r\n", b"\r", b"\n", b"\r\n\r\n", b";", b"x=y", b" ", b":",
     b"0\r\n\r\n", b"1\r\nx\r\n", b"3\r\nabc\r\n", b"T: v\r\n", b"\0", b"\xff", b"-", b"GET / "]
)  # fmt: skip


@given(st.lists(PIECES, max_size=10).map(b"".join), st.integers(0, 40))
def test_a_body_in_chunks_is_what_llhttp_takes_it_for(stream: bytes, cut: int) -> None:
    """It may refuse what llhttp takes; what it takes, it takes for the same."""
    chunks, fed = ChunkedBody(1_000), cut
    try:
        whole = chunks.feed(stream[:cut])
        if not whole:
            fed = len(stream)
            whole = chunks.feed(stream[cut:])
    except (BrokenChunks, ChunksTooLarge):
        return
    if whole:
        used = min(fed, len(stream)) - len(chunks.behind)
        assert llhttp(stream) == (bytes(chunks.body), used)


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.binary(max_size=10), st.data())
def test_chunks_may_be_cut_anywhere(parts: list[bytes], behind: bytes, data: st.DataObject) -> None:
    stream = b"".join(b"%X;a=b\r\n%b\r\n" % (len(p), p) for p in parts) + b"0\r\nA: b\r\n\r\n"
    chunks, at, given = ChunkedBody(1_000), 0, stream + behind
    while True:
        size = data.draw(st.integers(1, 30))
        whole = chunks.feed(given[at : at + size])
        at += size
        assert whole is (at >= len(stream))
        if whole:
            break
    assert bytes(chunks.body) == b"".join(parts)
    assert chunks.behind == given[len(stream) : at]
