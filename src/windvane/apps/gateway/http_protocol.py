"""HTTP/1.1 on one connection, bounded before anybody is authenticated.

One request at a time: what comes behind it stays unread until it was answered. Its head is
read by `HeadReader` once it is whole, so a head costs its bytes and nothing else until then.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from windvane.apps.gateway.http_chunks import BrokenChunks, ChunkedBody, ChunksTooLarge
from windvane.apps.gateway.http_head import CHUNKED, RefusedHead, RequestHead
from windvane.inference.failures import describe, frames_of

if TYPE_CHECKING:
    from windvane.apps.gateway.http_connections import Connections

__all__ = ["Application", "BodySink", "Bounds", "Header", "HttpConnection", "Reply", "RequestHead"]

_log = logging.getLogger(__name__)
Header = tuple[bytes, bytes]
Reply = Callable[[int, Sequence[Header], bytes], None]
"""Status, headers and body of the answer, once for each request; it does not raise. The
transport adds date, content-length and connection. The client may be gone: then it does nothing."""

_TOO_MANY = 429
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LETTERS = range(0x41, 0x5B)  # every method begins with a capital


class BodySink(Protocol):
    """Takes a request's body. Exactly one of its methods is called, once, unless the request is
    answered before its body is whole: then none."""

    @property
    def max_bytes(self) -> int: ...

    def on_body(self, body: bytes) -> None:
        """The whole of it, ``max_bytes`` at most."""
        ...

    def on_abort(self) -> None:
        """It will not come: the client went away, was too slow or sent too much. In the latter
        cases the transport answers."""
        ...


class Application(Protocol):
    """What answers the requests."""

    @property
    def draining(self) -> bool:
        """Set by the server when it stops: each answer then closes its connection."""
        ...

    @draining.setter
    def draining(self, value: bool) -> None: ...

    def on_head(self, head: RequestHead, reply: Reply) -> BodySink | None:
        """A request's head is whole; HEAD comes as GET. None: its body is not wanted, and the
        answer was given already or comes later."""
        ...

    def on_error(self, status: int, detail: str) -> tuple[Sequence[Header], bytes]:
        """The headers and the body of an answer that the transport gives by itself."""
        ...

    def defer(self, work: Callable[[], None]) -> None:
        """Do ``work`` when what else is there was served."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one client, or all of them, may take of a worker before anybody knows who they are."""

    connections: int = 4_096
    connections_per_address: int = 1_024
    head_s: float = 10.0
    body_s: float = 10.0
    idle_s: float = 75.0
    write_s: float = 10.0
    """How long a client may leave its answer unread."""
    linger_s: float = 2.0
    """How long one that is still sending is listened to after its last answer."""
    head_bytes: int = 65_536
    line_bytes: int = 8_192
    header_lines: int = 100
    discard_bytes: int = 65_536
    """Of a body that nobody wants; a longer one costs the connection."""
    linger_bytes: int = 1_048_576
    write_bytes: int = 65_536
    """Unread answers of one connection before no more of its requests are read."""
    sweep_s: float = 1.0


# What a connection waits for. Plain numbers: they are compared several times for each request.
_HANDSHAKE, _HEAD, _BODY, _REPLY = 0, 1, 2, 3
_TURN = 4  # what is behind a request waits for its turn
_CLOSING, _CLOSED = 5, 6


class HttpConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, table: Connections) -> None:
        self._table = table
        self._app = table.app
        self._bounds = table.bounds
        self._reader = table.reader
        self._secure = False  # by TLS
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._task: asyncio.Task[None] | None = None
        self._held = bytearray()  # less than a head
        self._behind = b""  # came while a request was under way
        self._sink: BodySink | None = None
        self._body: bytearray | None = None
        self._chunks: ChunkedBody | None = None
        self._left = 0  # bytes of the body that did not come yet
        self._lingered = 0
        self._keep = self._answered = self._without_body = False
        self._older = False  # it speaks HTTP/1.0
        self._limited = False  # the last answer was 429
        self._eof = self._paused = False
        self._stuck_ns = 0  # since when the client reads nothing
        self.phase = _HEAD
        self.since_ns = 0  # when the phase began; an idle one's by the sweep's clock
        self.address: object = None
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.since_ns = time.monotonic_ns()
        self.transport.set_write_buffer_limits(high=self._bounds.write_bytes)
        if self.phase == _HANDSHAKE:
            self.phase = _HEAD
            self._task = None  # from now on there is a transport to abort
        elif not self._table.add(self, transport.get_extra_info("peername")):
            headers, body = self._app.on_error(503, "too many connections")
            self._write(503, headers, body, False)
            self._close()

    async def shake_hands(self, accepted: socket.socket, tls: ssl.SSLContext) -> None:
        """By TLS. The loop tells of a connection only when that is over, so it is counted here."""
        self.phase = _HANDSHAKE
        self.since_ns = time.monotonic_ns()
        if not self._table.add(self, accepted.getpeername()):
            accepted.close()
            return
        self._secure = True
        self._task = asyncio.current_task()
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self, accepted, ssl=tls, ssl_handshake_timeout=self._bounds.head_s
            )
        finally:
            self._task = None
            if self.phase == _HANDSHAKE:
                self._lost()

    def data_received(self, data: bytes) -> None:
        phase = self.phase
        if phase == _HEAD:
            if self._limited:
                self._limited = False
                self._wait_for_turn(data)
            elif self._held:
                self._held += data
                self._part_of_head(len(data))
            else:
                self._head(data)
        elif phase == _BODY:
            self._more_body(data)
        elif phase == _CLOSING:
            self._lingered += len(data)
            if self._lingered > self._bounds.linger_bytes:
                self.transport.abort()
        else:
            self._behind += data
            self._pause()

    def eof_received(self) -> bool:
        # A client may close its half once it has sent its request.
        self._eof = self.phase in {_REPLY, _TURN} and not self._secure
        return self._eof

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._lost()

    def _lost(self) -> None:
        if self.phase == _CLOSED:
            return
        self.phase = _CLOSED
        self._behind = b""
        self._held = bytearray()
        self._table.remove(self)
        self._abort_body()

    def pause_writing(self) -> None:
        self._stuck_ns = time.monotonic_ns()

    def resume_writing(self) -> None:
        self._stuck_ns = 0
        if self.phase == _TURN:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _head(self, data: bytes) -> None:
        """The first bytes of a request, and in nearly every case all of it."""
        whole = self._reader.whole(data)
        if whole is None:
            self._head_by_itself(data)
            return
        head, body = whole
        self.since_ns = head.began_ns
        self._keep = True
        self._answered = self._without_body = self._older = False
        self.phase = _REPLY
        try:
            sink = self._app.on_head(head, self._reply)
            if sink is None or self._answered:
                return
            if len(body) <= sink.max_bytes:
                sink.on_body(body)
                return
        except Exception:
            self._failed()
            return
        self._sink = sink
        self._too_large(sink.max_bytes)

    def _head_by_itself(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or end > self._bounds.head_bytes or data[0] not in _LETTERS:
            self._held += data
            self.since_ns = time.monotonic_ns()
            self._part_of_head(len(data))
            return
        self.since_ns = now_ns = time.monotonic_ns()
        reader = self._reader
        try:
            head = reader.read(data[:end], now_ns)
        except RefusedHead as refused:
            self._error(refused.status, refused.detail)
            return
        length = reader.length
        keep = reader.keep_alive
        self._older = not reader.newer
        # Who waits for a 100 and is refused may send the body or not: nobody can tell.
        waits = reader.expects and len(data) == end
        self._keep = keep and not waits
        self._without_body = reader.without_body
        self._answered = False
        self.phase = _BODY
        # What is there already costs nothing to discard.
        self._left = left = max(length, 0) - (len(data) - end)
        try:
            sink = self._sink = self._app.on_head(head, self._reply)
        except Exception:
            self._failed()
            return
        if self.phase != _BODY:  # it was answered, and the connection ends
            return
        if left <= 0 <= length:
            if sink is not None and length > sink.max_bytes and not self._answered:
                self._too_large(sink.max_bytes)
            else:
                if left:
                    self._behind = data[end + length :]
                    self._pause()
                self._whole(data[end : end + length])
            return
        if sink is not None and length > sink.max_bytes and not self._answered:
            self._too_large(sink.max_bytes)
            return
        wanted = sink is not None and not self._answered
        if waits and wanted:
            self._keep = keep
            self.transport.write(_CONTINUE)
        if length == CHUNKED:
            most = sink.max_bytes if wanted and sink is not None else self._bounds.discard_bytes
            self._chunks = ChunkedBody(most)
        else:
            self._left = length
            self._body = bytearray()
        if len(data) > end:
            self._more_body(data[end:])

    def _part_of_head(self, fresh: int) -> None:
        """What a head is not to be is seen before it is whole."""
        held, bounds = self._held, self._bounds
        if held[0] == 0x0D and b"\r\n".startswith(held[:2]):  # one empty line may be before it
            if len(held) <= 2:
                return
            del held[:2]
        if held[0] not in _LETTERS:
            self._error(400, "the request does not begin with a method")
            return
        end = held.find(b"\r\n\r\n", max(0, len(held) - fresh - 3)) + 4
        line = held.find(b"\r\n", 0, bounds.line_bytes + 2)
        if line < 0 and len(held) > bounds.line_bytes:
            self._error(414, f"the request line is over {bounds.line_bytes:,} bytes")
        elif end > bounds.head_bytes or (end < 4 and len(held) > bounds.head_bytes):
            self._error(431, f"the head is over {bounds.head_bytes:,} bytes")
        elif end >= 4:
            data, self._held = bytes(held), bytearray()
            self._head(data)
        elif _bare_line_feed(held, max(0, len(held) - fresh - 1)):
            self._error(400, "a line of the head does not end in CRLF")
        elif held.count(b"\r\n", max(0, len(held) - fresh - 1)) > bounds.header_lines + 1:
            self._error(431, f"over {bounds.header_lines} header lines")

    def _more_body(self, data: bytes) -> None:
        if self._chunks is not None:
            self._more_chunks(self._chunks, data)
            return
        left = self._left
        if self._sink is not None and self._body is not None:
            self._body += data[:left]
        if len(data) < left:
            self._left = left - len(data)
            return
        if len(data) > left:
            self._behind = data[left:]
            self._pause()
        body, self._body = self._body, None
        self._whole(bytes(body or b""))

    def _more_chunks(self, chunks: ChunkedBody, data: bytes) -> None:
        try:
            if not chunks.feed(data):
                return
        except BrokenChunks as broken:
            self._error(400, str(broken))
            return
        except ChunksTooLarge as large:
            self._error(413, str(large))
            return
        self._chunks = None
        if chunks.behind:
            self._behind = chunks.behind
            self._pause()
        self._whole(bytes(chunks.body))

    def _whole(self, body: bytes) -> None:
        """All of the request is there."""
        self.phase = _REPLY
        sink, self._sink = self._sink, None
        if self._answered:
            self._next()
        elif sink is not None:
            try:
                sink.on_body(body)
            except Exception:
                self._failed()

    def _reply(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        phase = self.phase
        if self._answered or (phase != _REPLY and phase != _BODY):  # noqa: PLR1714
            return
        keep = self._keep and not self._app.draining
        if keep and (phase == _BODY or self._eof):
            keep = (
                self._left <= self._bounds.discard_bytes if phase == _BODY else bool(self._behind)
            )
        self._write(status, headers, body, keep)
        if phase == _BODY:
            self._sink = None
            self._limited = status == _TOO_MANY
            if not keep:
                self._linger()
        elif not keep:
            self._close()
        elif status == _TOO_MANY or self._behind or self._stuck_ns or self._eof:
            self._limited = status == _TOO_MANY
            self._next()
        else:
            self.since_ns = self._table.now_ns
            self.phase = _HEAD
            if self._paused:
                self._resume()

    def _write(self, status: int, headers: Sequence[Header], body: bytes, keep: bool) -> None:
        self._answered = True
        self.answers += 1
        parts = [self._table.lines.get(status) or self._table.status_line(status)]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        if not keep:
            parts.append(b"connection: close\r\n")
        elif self._older:
            parts.append(b"connection: keep-alive\r\n")
        parts.append(b"content-length: %d\r\n\r\n" % len(body))
        if not self._without_body:
            parts.append(body)
        self.transport.write(b"".join(parts))

    def _next(self) -> None:
        """The request was answered, and its body was read."""
        self.since_ns = self._table.now_ns
        if self._behind or self._stuck_ns:
            self._wait_for_turn(b"")
        else:
            self.phase = _HEAD
            self._resume()

    def _wait_for_turn(self, data: bytes) -> None:
        self.phase = _TURN
        self._behind += data
        self._pause()
        if self._limited or data:
            self._limited = False
            self._app.defer(self._go_on)
        elif not self._stuck_ns:
            # Others come between the requests that one connection sent in one piece.
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """What was behind the last request has its turn, unless the client does not even read
        the answers that it has."""
        if self.phase != _TURN or self._stuck_ns:
            return
        data, self._behind = self._behind, b""
        self.phase = _HEAD
        if data:
            self._head_by_itself(data)
        if self._eof and self.phase in {_HEAD, _BODY}:
            self._close()
        elif not self._behind and self.phase != _CLOSED:
            self._resume()

    def look(self, now_ns: int) -> None:
        """The sweep's: end what took too long."""
        bounds, phase = self._bounds, self.phase
        waited = (now_ns - self.since_ns) / 1e9
        if self._stuck_ns and now_ns - self._stuck_ns > bounds.write_s * 1e9:
            self.transport.abort()
        elif phase == _HEAD:
            if self._held:
                if waited > bounds.head_s:
                    self._error(408, f"no whole head within {bounds.head_s:g} s")
            elif waited > bounds.idle_s:
                self._close()
        elif phase == _BODY:
            if waited > bounds.body_s:
                self._error(408, f"no whole body within {bounds.body_s:g} s")
        elif phase == _CLOSING:
            if waited > max(bounds.linger_s, bounds.write_s if self._stuck_ns else 0.0):
                self.transport.abort()
        elif phase == _HANDSHAKE and waited > bounds.head_s:
            self.drop()

    @property
    def is_silent(self) -> bool:
        """No request is under way, and none waits."""
        return self.phase in {_HEAD, _CLOSING, _HANDSHAKE}

    def drop(self) -> None:
        """At once, whatever it is doing."""
        if self._task is not None:
            self._task.cancel()  # there is no transport yet
        else:
            self.transport.abort()

    def shutdown(self) -> None:
        """The time to drain is over: close, once nobody waits for an answer."""
        if self.phase == _HEAD:
            self._close()
        else:
            self._keep = False

    def _too_large(self, max_bytes: int) -> None:
        self._error(413, f"the body is over {max_bytes:,} bytes")

    def _failed(self) -> None:
        _log_failure("a request failed, its connection is closed: %s\n%s")
        self._sink = None
        self._error(500, "internal error")

    def _error(self, status: int, detail: str) -> None:
        """Answer by ourselves, unless an answer was given, and close."""
        self._abort_body()
        if self.phase == _HEAD:
            self._answered = self._without_body = False
        if not self._answered:
            headers, body = self._app.on_error(status, detail)
            self._write(status, headers, body, False)
        self._linger()

    def _abort_body(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            try:
                sink.on_abort()
            except Exception:
                _log_failure("a request that was given up failed: %s\n%s")

    def _linger(self) -> None:
        """Close when the client has: closed with its bytes unread, it might lose the answer."""
        if self.phase == _CLOSED:
            return
        self._forget()
        if self._eof or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self._resume()

    def _close(self) -> None:
        if self.phase != _CLOSED:
            self._forget()
            self.transport.close()

    def _forget(self) -> None:
        self.phase = _CLOSING
        self.since_ns = time.monotonic_ns()
        self._behind = b""
        self._held = bytearray()
        self._body = self._chunks = None

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()


def _bare_line_feed(held: bytearray, start: int) -> bool:
    at = held.find(b"\n", start)
    while at >= 0:
        if at == 0 or held[at - 1] != 0x0D:
            return True
        at = held.find(b"\n", at + 1)
    return False


def _log_failure(message: str) -> None:
    """The exception that is being handled, without its message: that may hold what was sent."""
    error = sys.exception()
    if error is not None:
        _log.error(message, describe(error), frames_of(error))
