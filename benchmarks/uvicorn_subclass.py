"""The transport of before, to be compared with: uvicorn's HTTP protocol with a shorter way for
requests that come in one piece, as ADR 0016 had it. It exists only here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import uvicorn
from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

Header = tuple[bytes, bytes]

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

Gateway = Any

_PREFIX = b"/v1/models/"
_TOO_MANY = 429


class Turn:
    """A request on the shorter way, as uvicorn sees one: what it looks at and sets of its own
    `RequestResponseCycle`, and no more. One serves all requests of a connection, one by one."""

    def __init__(self) -> None:
        self.response_complete = True
        self.disconnected = False
        self.keep_alive = True
        self.message_event = self

    def set(self) -> None:
        """Nobody waits for more of the message: all of it is there."""


class StraightProtocol(HttpToolsProtocol):
    """A POST to a model that is whole once one read was parsed goes to ``gateway.straight``
    without a scope, a task or messages; everything else, and what the gateway hands back, goes
    uvicorn's way. Requests of one connection keep their order on whichever way they are.

    What comes after a refusal for its tenant's limit is not even parsed until what else is there
    was served: a tenant that floods delays itself first.
    """

    gateway: ClassVar[Gateway]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._turn: Any = Turn()
        self._held: list[bytes] | None = None  # the body of a request whose way is open yet
        self._refused = False
        self._waiting = b""
        self._came_ns = 0

    def data_received(self, data: bytes) -> None:
        if self._waiting:
            self._waiting += data
            self.flow.pause_reading()
            return
        self._came_ns = time.monotonic_ns()
        if self._refused and self.cycle.response_complete:
            self._unset_keepalive_if_required()
            self._waiting = data
            self.cycle = self._turn  # so that nobody takes the connection for idle
            self.cycle.response_complete = False
            self.gateway.later(self._go_on)
        else:
            self._take(data)

    def _go_on(self) -> None:
        """What waited has its turn."""
        data, self._waiting = self._waiting, b""
        self._turn.response_complete = True
        if not self._turn.disconnected and not self.transport.is_closing():
            self.flow.resume_reading()
            self._take(data)

    def _take(self, data: bytes) -> None:
        super().data_received(data)
        if self._held is not None:
            body, self._held = self._held, None
            if not self.transport.is_closing():  # as it is after nonsense
                try:
                    self._by_the_book(body)
                except (HttpParserError, UnicodeError):  # of the address
                    self.send_400_response("Invalid HTTP request received.")

    def connection_lost(self, exc: Exception | None) -> None:
        # Behind a request on the shorter way there may be one by the book, of which uvicorn knows.
        self._turn.disconnected = True
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        before, parser = self.cycle, self.parser
        assert parser is not None
        if (
            self.url.startswith(_PREFIX)
            and (before is None or before.response_complete)
            and parser.get_method() == b"POST"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
            and b"%" not in self.url
            and len(self.connections) < (self.limit_concurrency or 0)
        ):
            self._held = []
        else:
            self._by_the_book(())

    def on_body(self, body: bytes) -> None:
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        if self._held is None:
            super().on_message_complete()
            return
        held, self._held = self._held, None
        turn = self.cycle = self._turn
        turn.response_complete = False
        path, _, _ = self.url.partition(b"?")
        body = held[0] if len(held) == 1 else b"".join(held)
        if not self.gateway.straight(
            dict(self.headers), path.decode("ascii"), body, self._reply, self._came_ns
        ):
            turn.response_complete = True
            self._by_the_book(held)
            super().on_message_complete()

    def _by_the_book(self, body: Sequence[bytes]) -> None:
        """What uvicorn would have done by now."""
        self._refused = False
        url, expects, headers = self.url, self.expect_100_continue, self.headers
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()
        for part in body:
            super().on_body(part)

    def _reply(self, status: int, extra: Sequence[Header], body: bytes) -> None:
        turn = self._turn
        if turn.disconnected:
            return
        self._refused = status == _TOO_MANY
        draining = self.gateway.draining
        head = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            head += (name, b": ", value, b"\r\n")
        head.append(b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body))
        for name, value in extra:
            head += (name, b": ", value, b"\r\n")
        if draining or not turn.keep_alive:
            head.append(b"connection: close\r\n")
        head += (b"\r\n", body)
        self.transport.write(b"".join(head))
        turn.response_complete = True
        if draining or not turn.keep_alive:
            self.transport.close()
        self.on_response_complete()


def protocol_of(served: Gateway) -> type[StraightProtocol]:
    """The protocol of one gateway's connections."""

    class Bound(StraightProtocol):
        gateway = served

    return Bound


def serve(gateway: Gateway, port: int) -> None:
    """Answer on loopback until SIGTERM or SIGINT."""
    uvicorn.run(
        gateway, host="127.0.0.1", port=port, loop="uvloop", http=protocol_of(gateway), ws="none",
        access_log=False, log_level="warning", backlog=4_096, limit_concurrency=4_096,
        timeout_keep_alive=75, server_header=False, proxy_headers=False,
    )  # fmt: skip
