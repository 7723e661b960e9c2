"""Clients on raw sockets, which know what they sent, who answered and what was lost."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from journeys.installation import MODEL, Installation, wait_until

ROW = {"distance": 5.0, "kind": "van", "rain": 0.0}
_TIMEOUT_S = 30.0
_WORKER = len(os.urandom(9).hex())  # how much of a request id names the worker that gave it


class Lost(Exception):
    """A request was sent and never answered."""


@dataclass(frozen=True)
class HttpResponse:
    status: int
    headers: dict[str, str]
    body: bytes
    took_s: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]

    @property
    def worker(self) -> str:
        """Which process answered; only where the client named no request itself."""
        return str(self.json["request_id"])[:_WORKER]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.json["predictions"]


def body_of(*rows: Mapping[str, Any], unit: str = "") -> bytes:
    given = rows or (ROW,)
    return json.dumps({"instances": [{"features": r, "unit": unit} for r in given]}).encode()


def request(
    key: str, given: bytes, *, path: str = f"/v1/models/{MODEL}/predict", method: str = "POST",
    headers: Mapping[str, str] | None = None, close: bool = False,
) -> bytes:  # fmt: skip
    lines = [f"{method} {path} HTTP/1.1", "host: gateway", f"content-length: {len(given)}"]
    lines += [f"authorization: Bearer {key}"] if key else []
    lines += ["content-type: application/json"] if given else []
    lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
    lines += ["connection: close"] if close else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + given


class Line:
    """One connection, kept alive. A close that comes before anything was sent is no loss."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: socket.socket | None = None

    def ask(self, raw: bytes) -> HttpResponse:
        """Raises Lost."""
        began = time.perf_counter()
        self.send(raw)
        answer = self.hear()
        return HttpResponse(answer.status, answer.headers, answer.body, time.perf_counter() - began)

    def send(self, raw: bytes) -> None:
        if self._open is not None and select.select([self._open], [], [], 0)[0]:
            self.close()  # closed while idle
        if self._open is None:
            self._open = socket.create_connection(("127.0.0.1", self._port), _TIMEOUT_S)
            self._open.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._open.sendall(raw)
        except OSError as error:
            self.close()
            raise Lost(f"while it was sent: {error}") from error

    def hear(self) -> HttpResponse:
        held = b""
        try:
            while b"\r\n\r\n" not in held:
                held += self._more()
            head, _, body = held.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            pairs = (line.split(":", 1) for line in lines)
            headers = {k.strip().lower(): v.strip() for k, v in pairs}
            while len(body) < int(headers["content-length"]):
                body += self._more()
        except OSError as error:
            self.close()
            raise Lost(f"after {len(held)} bytes: {error}") from error
        if headers.get("connection") == "close":
            self.close()
        return HttpResponse(int(first.split()[1]), headers, body)

    def heard(self, within_s: float = 0.0) -> bool:
        """Whether something (an answer, or an end) has come."""
        return self._open is None or bool(select.select([self._open], [], [], within_s)[0])

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _more(self) -> bytes:
        assert self._open is not None
        part = self._open.recv(65_536)
        if not part:
            raise ConnectionError("the connection ended")
        return part


def once(home: Installation, raw: bytes) -> HttpResponse:
    """On a connection of its own."""
    line = Line(home.port)
    try:
        return line.ask(raw)
    finally:
        line.close()


def ask(home: Installation, key: str = "", **more: Any) -> HttpResponse:
    given = more.pop("given", body_of())
    return once(home, request(key or home.key, given, close=True, **more))


def post_json(home: Installation, key: str, path: str, given: Any) -> HttpResponse:
    return once(home, request(key, json.dumps(given).encode(), path=path, close=True))


def both_workers(
    home: Installation, key: str, within_s: float = 30.0, **more: Any
) -> dict[str, HttpResponse]:
    """An answer to ``key`` from each of two workers."""
    seen: dict[str, HttpResponse] = {}

    def asked() -> bool:
        lines = [Line(home.port) for _ in range(8)]
        for line in lines:
            line.send(request(key, body_of(), close=True, **more))
        for line in lines:
            answer = line.hear()
            seen[answer.worker] = answer
        return len(seen) >= 2

    wait_until("both workers answer", asked, within_s)
    return seen


@dataclass
class Crowd:
    """Clients that ask without pause; everything that came back, and everything that did not."""

    home: Installation
    key: str
    given: bytes = b""
    path: str = f"/v1/models/{MODEL}/predict"
    pause_s: float = 0.0
    answers: list[HttpResponse] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    ids: Iterator[int] = field(default_factory=itertools.count)

    def run(self) -> None:
        line = Line(self.home.port)
        while not self.over.is_set():
            given = self.given or self._varied(next(self.ids))
            try:
                self.answers.append(line.ask(request(self.key, given, path=self.path)))
            except Exception as error:  # whatever it is, this request had no whole answer
                self.lost.append(repr(error))
                line.close()
            if self.pause_s:
                self.over.wait(self.pause_s)
        line.close()

    def wait_for(self, more: int, within_s: float = 60.0) -> None:
        wanted = len(self.answers) + more
        wait_until(f"{more} more answers", lambda: len(self.answers) >= wanted, within_s)

    @property
    def refused(self) -> list[tuple[int, bytes]]:
        return [(a.status, a.body) for a in self.answers if a.status != 200]

    def _varied(self, number: int) -> bytes:
        """One row that is not like the one before: all alike would be a feed that is stuck."""
        row = {"distance": 1.0 + number % 97 / 10.0, "kind": ("van", "bike")[number % 2],
               "rain": number % 13 / 13.0}  # fmt: skip
        return body_of(row, unit=f"u{number}")


@contextmanager
def crowd(home: Installation, clients: int = 4, key: str = "", **more: Any) -> Iterator[Crowd]:
    made = Crowd(home, key or home.key, **more)
    threads = [threading.Thread(target=made.run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made.over.set()
        for thread in threads:
            thread.join(60)


def settle(home: Installation, **settings: Any) -> None:
    """Add settings to the home's file."""
    with (home.home / "windvane.yaml").open("a") as file:
        file.writelines(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())


def up(home: Installation, **settings: Any) -> None:
    """All processes, ready."""
    settle(home, **settings)
    home.start("up")
    home.wait_ready()
    wait_until("all children run", lambda: "console" in pids(home))


def pids(home: Installation) -> dict[str, int]:
    """The latest pid of each child, by its name."""
    file = home.home / "pids"
    lines = file.read_text().splitlines() if file.is_file() else []
    return {name: int(pid) for name, pid in map(str.split, lines)}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def kept_down(home: Installation, name: str) -> Iterator[None]:
    """A child is killed, and killed again whenever the supervisor brings it back."""
    over = threading.Event()

    def hunt() -> None:
        while not over.is_set():
            pid = pids(home)[name]
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
            over.wait(0.01)

    thread = threading.Thread(target=hunt)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def key_id(key: str) -> str:
    return key.split("_")[1]
