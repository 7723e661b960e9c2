"""A gateway worker on a real socket in a thread, and a server that answers by a script."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from inference.harness import Harness

from windvane.apps.gateway.http_server import HttpConfig, HttpServer

WITHIN_S = 20.0


@dataclass
class Served:
    """``url`` of a worker; ``harness`` has its fakes."""

    url: str
    harness: Harness
    loop: asyncio.AbstractEventLoop

    def run(self, work: Callable[[Harness], Awaitable[Any]]) -> Any:
        """In the worker's own loop."""

        async def told() -> Any:
            return await work(self.harness)

        return asyncio.run_coroutine_threadsafe(told(), self.loop).result(WITHIN_S)


@contextmanager
def served(publish: Callable[[Harness], Awaitable[None]], **settings: Any) -> Iterator[Served]:
    """A worker that answers over HTTP until the block ends."""
    ready: threading.Event = threading.Event()
    held: list[Served] = []
    endings: list[Callable[[], Any]] = []
    failures: list[BaseException] = []

    async def serve() -> None:
        harness = Harness(**settings)
        await publish(harness)
        server = HttpServer(harness.worker, HttpConfig("127.0.0.1", 0, drain_s=0.1))
        await harness.worker.start()
        await server.start()
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        endings.append(lambda: loop.call_soon_threadsafe(over.set))
        held.append(Served(f"http://127.0.0.1:{server.port}", harness, loop))
        ready.set()
        await over.wait()
        await server.stop()
        await harness.worker.stop()
        await harness.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # told by the test, which waits
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(WITHIN_S)
        assert not failures, failures
        yield held[0]
    finally:
        for end in endings:
            end()
        thread.join(WITHIN_S)
    assert not thread.is_alive()
    assert not failures, failures


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        zipped = self.headers.get("content-encoding") == "gzip"
        return json.loads(gzip.decompress(self.body) if zipped else self.body)


Step = tuple[int, dict[str, str], Any] | str
"""A status, headers and a body; "drop" ends the connection without an answer, "hang" says
nothing until the server ends."""


@dataclass
class Scripted:
    """Answers each request with the next step, the last one again and again."""

    steps: Sequence[Step]
    seen: list[Seen] = field(default_factory=list)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def _next(self) -> Step:
        return self.steps[min(len(self.seen), len(self.steps)) - 1]

    def talk(self, line: socket.socket) -> None:
        with line, line.makefile("rb") as reading:
            while True:
                first = reading.readline().decode().split()
                if len(first) < 2:
                    return
                headers: dict[str, str] = {}
                while raw := reading.readline().decode().strip():
                    name, _, value = raw.partition(":")
                    headers[name.lower()] = value.strip()
                body = reading.read(int(headers.get("content-length", 0)))
                self.seen.append(Seen(first[0], first[1], headers, body))
                step = self._next()
                if step == "drop":
                    return
                if step == "hang":
                    self.over.wait(WITHIN_S)
                    return
                assert not isinstance(step, str)
                status, extra, message = step
                told = message if isinstance(message, bytes) else json.dumps(message).encode()
                head = [f"HTTP/1.1 {status} X", f"content-length: {len(told)}"]
                head += [f"{name}: {value}" for name, value in extra.items()]
                line.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + told)


@contextmanager
def scripted(*steps: Step, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    listener = socket.create_server(("127.0.0.1", 0))
    scheme = "https" if tls else "http"
    server = Scripted(steps, url=f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            if server.over.is_set():
                line.close()
                return
            line.settimeout(WITHIN_S)
            thread = threading.Thread(target=quietly, args=(line,))
            threads.append(thread)
            thread.start()

    def quietly(line: socket.socket) -> None:
        try:
            server.talk(tls.wrap_socket(line, server_side=True) if tls else line)
        except OSError:
            line.close()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield server
    finally:
        server.over.set()
        socket.create_connection(listener.getsockname()).close()  # wakes who accepts
        accepting.join(WITHIN_S)
        listener.close()
        for thread in threads:
            thread.join(WITHIN_S)
