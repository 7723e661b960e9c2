"""However many connections there are, and however slow they are, others are answered."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from apps.gateway.test_http_tls import CHAIN, KEY, issue
from starlette.types import ASGIApp, Receive, Scope, Send

from windvane.apps.console.connections import (
    ConnectionBounds,
    Connections,
    NotesRequests,
    bounded_protocol,
)
from windvane.apps.console.visiting import BoundedBodies

WITHIN_S = 20.0
HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Answers:
    """Reads the body and says how long it was; waits for ``go`` where it is asked to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.waiting = asyncio.Semaphore(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        if scope["path"] == "/wait":
            self.waiting.release()
            await self.go.wait()
        text = f"{scope['scheme']} {size}".encode()
        text *= 1_000_000 if scope["path"] == "/large" else 1
        length = [(b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": text})


class Server:
    def __init__(self, connections: Connections, port: int, answers: Answers) -> None:
        self.connections, self.port, self.answers = connections, port, answers
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, tls: ssl.SSLContext | None = None) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)
        self._writers.append(writer)
        return reader, writer

    async def leave(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def ask(self, path: str = "/", tls: ssl.SSLContext | None = None) -> bytes:
        reader, writer = await self.connect(tls)
        writer.write(HEAD.replace(b"/", path.encode(), 1) + b"Connection: close\r\n\r\n")
        return await asyncio.wait_for(reader.read(), WITHIN_S)


@asynccontextmanager
async def serving(
    bounds: ConnectionBounds, tls: ssl.SSLContext | None = None, body_s: float = 30.0
) -> AsyncIterator[Server]:
    connections, answers = Connections(bounds), Answers()
    app: ASGIApp = NotesRequests(BoundedBodies(answers, body_s))
    config = uvicorn.Config(
        app, port=0, ws="none", lifespan="off", log_config=None, access_log=False,
        http=bounded_protocol(connections, tls), timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    tasks = [asyncio.create_task(connections.sweep()), asyncio.create_task(server.serve())]
    await eventually(lambda: server.started)
    made = Server(connections, server.servers[0].sockets[0].getsockname()[1], answers)
    try:
        yield made
    finally:
        await made.leave()
        answers.go.set()
        server.should_exit = True
        await tasks[1]
        tasks[0].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tasks[0]


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(story(), 60.0)

    asyncio.run(bounded())


async def eventually(held: Callable[[], bool]) -> None:
    for _ in range(int(WITHIN_S / 0.01)):
        if held():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be")


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the other side closes it in time."""
    try:
        return await asyncio.wait_for(reader.read(), WITHIN_S) == b""
    except ConnectionError:
        return True


def test_halves_of_heads_make_room_for_who_asks() -> None:
    async def story() -> None:
        async with serving(ConnectionBounds(most=20)) as server:
            halves: list[Streams] = []
            for _ in range(100):
                halves.append(await server.connect())
                halves[-1][1].write(HEAD)
            assert b"200 OK" in await server.ask()
            assert len(server.connections) <= 20
            assert await ended(halves[0][0]), "the oldest gave way"

    run(story)


def test_halves_of_bodies_make_room_as_well() -> None:
    async def story() -> None:
        async with serving(ConnectionBounds(most=20)) as server:
            head = HEAD.replace(b"GET", b"POST") + b"Content-Length: 10\r\n\r\nhalf"
            halves = [await server.connect() for _ in range(30)]
            for _, writer in halves:
                writer.write(head)
            assert b"200 OK" in await server.ask()
            assert len(server.connections) <= 20

    run(story)


def test_who_is_being_answered_is_never_dropped_for_others() -> None:
    async def story() -> None:
        async with serving(ConnectionBounds(most=4, head_s=0.1, sweep_s=0.02)) as server:
            asked = [asyncio.create_task(server.ask("/wait")) for _ in range(4)]
            for _ in asked:
                await server.answers.waiting.acquire()
            reader, writer = await server.connect()
            writer.write(HEAD + b"\r\n")
            assert await ended(reader), "there is no room"
            server.answers.go.set()
            for answer in await asyncio.gather(*asked):
                assert b"200 OK" in answer

    run(story)


@pytest.mark.parametrize("sent", [b"", HEAD], ids=["nothing", "half a head"])
def test_a_head_has_its_time(sent: bytes) -> None:
    async def story() -> None:
        async with serving(ConnectionBounds(head_s=0.2, sweep_s=0.02)) as server:
            reader, writer = await server.connect()
            writer.write(sent)
            assert await ended(reader)
            reader, writer = await server.connect()
            writer.write(HEAD + b"\r\n")
            assert b"200 OK" in await reader.readuntil(b"http 0")
            writer.write(HEAD)  # half of the next one
            assert await ended(reader)

    run(story)


def test_a_head_that_drips_has_no_more_time() -> None:
    async def story() -> None:
        async with serving(ConnectionBounds(head_s=0.3, sweep_s=0.02)) as server:
            reader, writer = await server.connect()
            over = asyncio.create_task(ended(reader))
            writer.write(HEAD)
            for _ in range(1_000):
                if over.done():
                    break
                writer.write(b"a: b\r\n")
                await asyncio.wait({over}, timeout=0.05)
            assert await over

    run(story)


@pytest.mark.parametrize("where", ["head", "trailers"])
def test_a_request_has_a_size(where: str) -> None:
    line = b"x-a: " + b"y" * 1_000 + b"\r\n"
    chunked = HEAD.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"

    async def story() -> None:
        async with serving(ConnectionBounds(request_bytes=64 << 10)) as server:
            reader, writer = await server.connect()
            writer.write(HEAD if where == "head" else chunked)
            over = asyncio.create_task(ended(reader))
            for _ in range(10_000):
                if over.done():
                    break
                writer.write(line)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                await asyncio.sleep(0)
            assert await over

    run(story)


def test_a_handshake_that_is_dropped_leaves_nothing(tmp_path: Path) -> None:
    """A quarter of a megabyte each, until the next full collection."""
    issue(tmp_path, 1)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / CHAIN, tmp_path / KEY)
    begun = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 32

    async def story() -> None:
        async with serving(ConnectionBounds(), context) as server:
            for _ in range(50):
                _, writer = await server.connect()
                writer.write(begun)
                await writer.drain()
                writer.transport.abort()
            await eventually(lambda: len(server.connections) == 0)
            held = [one for one in gc.get_objects() if isinstance(one, SSLProtocol)]
            assert len(held) < 5

    gc.collect()
    gc.disable()
    try:
        run(story)
    finally:
        gc.enable()


def test_a_body_has_its_time() -> None:
    async def story() -> None:
        async with serving(ConnectionBounds(head_s=0.2, sweep_s=0.02), body_s=0.5) as server:
            reader, writer = await server.connect()
            writer.write(HEAD.replace(b"GET", b"POST") + b"Content-Length: 10\r\n\r\nhalf")
            answer = await asyncio.wait_for(reader.read(), WITHIN_S)
            assert b"408" in answer.splitlines()[0]
            said = json.loads(answer.split(b"\r\n\r\n")[1])
            assert said["code"] == "CSL-122"
            assert said["message"] == "4 bytes of the body came within the 0.5 s allowed"

    run(story)


def test_who_takes_no_answer_is_dropped() -> None:
    async def story() -> None:
        async with serving(ConnectionBounds(taken_s=0.2, sweep_s=0.02)) as server:
            _, writer = await server.connect()
            await eventually(lambda: len(server.connections) == 1)
            writer.write(HEAD.replace(b"/ ", b"/large ", 1) + b"\r\n")
            await eventually(lambda: len(server.connections) == 0)

    run(story)


def test_tls_and_what_never_shakes_hands(tmp_path: Path) -> None:
    issue(tmp_path, 1)
    certificate, key = tmp_path / CHAIN, tmp_path / KEY
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(certificate, key)
    client_side = ssl.create_default_context(cafile=str(certificate))
    client_side.check_hostname = False

    async def story() -> None:
        bounds = ConnectionBounds(most=8, head_s=5.0, sweep_s=0.02)
        async with serving(bounds, server_side) as server:
            silent = [await server.connect() for _ in range(30)]
            assert (await server.ask(tls=client_side)).endswith(b"https 0")
            assert len(server.connections) <= 8
            assert await ended(silent[0][0])
            reader, writer = await server.connect()
            writer.write(HEAD + b"\r\n")  # no TLS at all
            assert b"200 OK" not in await asyncio.wait_for(reader.read(), WITHIN_S)

    run(story)


def test_as_many_as_the_process_may_open_files_for() -> None:
    assert 16 <= ConnectionBounds.of_this_process().most <= 1_000
