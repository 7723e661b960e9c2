"""Connections to a gRPC server, counted and bounded before a byte of theirs reaches it.

grpcio bounds neither the connections of one address nor those of all, nor what half-sent messages
take, and its own TLS handshakes can end the process when they run out of time (1.85). So it
listens on a socket of this process alone; connections are accepted, counted and decrypted here,
and their bytes handed on. A call whose message does not come is reset on both sides.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import cast

from windvane.apps.gateway.grpc_frames import FrameReader, HalfSent, client_frames, resets
from windvane.apps.gateway.http_connections import network_of
from windvane.ports.certificate import Certificate

_log = logging.getLogger(__name__)
_BACKLOG = 1_024
_ACCEPT_AGAIN_S = 1.0
_END_S = 2.0
_LOOK_EVERY_S = 0.01
_BYTES_A_CALL = 16_384  # as many as its metadata may have
_FRAMES_A_READ = 2_000  # of one connection at one time: a flood of empty ones holds the loop
_LONGEST_REST = 65_536  # of a frame, for which a reset waits
_MESSAGES = 4


@dataclass(frozen=True, slots=True)
class FrontBounds:
    """Connections in the whole and of one address; seconds for a TLS handshake, and for which a
    connection may be silent. Who comes when there is no room takes that of the most silent.

    ``body_s``: seconds from a call's head to the whole of its message; it is reset then, behind
    the frame that is under way, which has ``frame_s`` to end. ``half_sent`` and
    ``half_sent_per_address``: bytes of messages that are not whole; what is over that takes the
    oldest calls of the connection that holds the most.
    """

    connections: int = 1_024
    per_address: int = 64
    handshake_s: float = 10.0
    idle_s: float = 600.0
    body_s: float = 10.0
    frame_s: float = 5.0
    half_sent: int = 256 << 20
    half_sent_per_address: int = 128 << 20
    sweep_s: float = 1.0

    def for_messages(self, size: int) -> FrontBounds:
        """With room for some messages of ``size`` bytes of one address, whatever was given."""
        least = _MESSAGES * (size + _BYTES_A_CALL)
        per_address = max(self.half_sent_per_address, least)
        return replace(
            self, half_sent_per_address=per_address, half_sent=max(self.half_sent, per_address)
        )


class GrpcFront:
    """Hands what comes on ``listener`` on to the Unix socket ``server``. The HTTP server follows
    the certificate for both."""

    def __init__(
        self, listener: socket.socket, server: str, tls: Certificate | None, bounds: FrontBounds
    ) -> None:
        self._listener = listener
        self._inner = server
        self._context = tls.context_for("h2") if tls is not None else None
        self.bounds = bounds
        self._tasks: list[asyncio.Task[None]] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self.open: dict[ClientConnection, None] = {}
        self.connected: set[ClientConnection] = set()
        self.evicted = self.given_up = 0
        self.half_sent: Counter[object] = Counter()

    def start(self) -> None:
        self._listener.setblocking(False)
        self._listener.listen(_BACKLOG)
        self._tasks = [asyncio.create_task(one) for one in (self._accept(), self._sweep())]

    async def stop_accepting(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()

    async def close(self) -> None:
        """Close what is open."""
        for one in list(self.open):
            one.close()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        until = time.monotonic() + _END_S
        while self.connected and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._listener)
            except OSError as error:  # no file descriptor is left, say
                _log.warning("no gRPC connection is accepted for a moment: %s", error)
                await asyncio.sleep(_ACCEPT_AGAIN_S)
                continue
            client = ClientConnection(self, network_of(address))
            self._make_room(client.address)
            self.open[client] = None
            task = client.joining = loop.create_task(self._connect(client, accepted, self._context))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _connect(
        self, client: ClientConnection, accepted: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        loop = asyncio.get_running_loop()
        server = ServerConnection(client)
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            handshake_s = self.bounds.handshake_s if context is not None else None
            await loop.connect_accepted_socket(
                lambda: client, accepted, ssl=context, ssl_handshake_timeout=handshake_s
            )
            await loop.create_unix_connection(lambda: server, self._inner)
            client.join(server)
        except (OSError, asyncio.CancelledError):  # ssl.SSLError is an OSError
            client.joining = None
            client.close()
            accepted.close()

    def _make_room(self, address: object) -> None:
        bounds, count = self.bounds, Counter(one.address for one in self.open)
        if count[address] >= bounds.per_address:
            self._evict([one for one in self.open if one.address == address])
        elif len(self.open) >= bounds.connections:
            self._evict(list(self.open))

    def _evict(self, some: list[ClientConnection]) -> None:
        self.evicted += 1
        min(some, key=lambda one: one.heard_at).close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.bounds.sweep_s)
            now = time.monotonic()
            for one in list(self.open):
                if one.heard_at < now - self.bounds.idle_s or one.stuck:
                    one.close()
                else:
                    self._give_up(one, one.half_sent.give_up_before(now - self.bounds.body_s))

    def weigh(self, client: ClientConnection) -> None:
        """The connection has sent more of its messages, or some are whole or answered."""
        bounds, held = self.bounds, self.half_sent
        if not self._count(client):
            return
        while held[client.address] > bounds.half_sent_per_address:
            self._shed([one for one in self.open if one.address == client.address])
        while held.total() > bounds.half_sent:
            (worst, _), *_ = held.most_common(1)
            self._shed([one for one in self.open if one.address == worst])

    def _count(self, client: ClientConnection) -> bool:
        """Whether it holds more than it did."""
        more, client.counted = client.half_sent.bytes - client.counted, client.half_sent.bytes
        if more:
            self.half_sent[client.address] += more
            if not self.half_sent[client.address]:
                del self.half_sent[client.address]
        return more > 0

    def _shed(self, some: list[ClientConnection]) -> None:
        worst = max(some, key=lambda one: one.half_sent.bytes)
        self._give_up(worst, worst.half_sent.give_up_to(worst.half_sent.bytes // 2))

    def _give_up(self, client: ClientConnection, streams: list[int]) -> None:
        if streams:
            self.given_up += len(streams)
            self._count(client)
            client.reset(streams)

    def forget(self, client: ClientConnection) -> None:
        """It is closed, and with it what it sent is gone."""
        if client in self.open:
            del self.open[client]
            client.half_sent = HalfSent(_BYTES_A_CALL)
            self._count(client)


class _Side(asyncio.Protocol):
    """One end of a connection; what it cannot send in time holds the other end back."""

    transport: asyncio.Transport | None = None
    peer: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def pause(self, on: bool) -> None:
        """Read no more from it, or again."""
        if self.transport is not None and not self.transport.is_closing():
            (self.transport.pause_reading if on else self.transport.resume_reading)()

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.pause(True)

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.pause(False)


class ClientConnection(_Side):
    """A client's side."""

    def __init__(self, front: GrpcFront, address: object) -> None:
        self._front = front
        self._early: list[bytes] = []
        self._sent, self._answered = client_frames(), FrameReader()
        self._reset_inner: list[int] = []  # streams, once the frame that is under way ends
        self._reset_client: list[int] = []
        self._waits_since = 0.0
        self.address = address
        self.joining: asyncio.Task[None] | None = None
        self.heard_at = time.monotonic()
        self.half_sent = HalfSent(_BYTES_A_CALL)
        self.counted = 0  # of that, in the bounds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._front.connected.add(self)
        self.pause(True)  # until there is somebody to hand it to

    def join(self, server: ServerConnection) -> None:
        self.peer = server
        if self.transport is None or self.transport.is_closing():
            server.close()
            return
        early, self._early = self._early, []
        for part in early:
            self._hand_on(part)
        self.pause(False)

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        if self.peer is None:
            self._early.append(data)
        else:
            self._hand_on(data)

    def _hand_on(self, data: bytes) -> None:
        frames = self._sent.feed(data)
        if len(frames) > _FRAMES_A_READ:
            self.close()
        if self.peer is None:
            return
        self.peer.write(_with_resets(data, self._sent, self._reset_inner))
        self.half_sent.note_client(frames, self._sent.left, self.heard_at)
        self._front.weigh(self)  # behind the bytes: what it resets may have begun in them

    def answer(self, data: bytes) -> None:
        """What the server sends."""
        self.heard_at = time.monotonic()
        frames = self._answered.feed(data)
        self.write(_with_resets(data, self._answered, self._reset_client))
        self.half_sent.note_server(frames)
        self._front.weigh(self)

    def reset(self, streams: list[int]) -> None:
        """End these calls on both sides; now, or behind the frame that is under way."""
        if not self._reset_inner:
            self._waits_since = time.monotonic()
        for side, reader, waiting in (
            (self.peer, self._sent, self._reset_inner),
            (self, self._answered, self._reset_client),
        ):
            waiting.extend(streams)
            if side is not None and reader.between_frames:
                side.write(resets(waiting))
                waiting.clear()
        if self._sent.left > _LONGEST_REST:
            self.close()

    @property
    def stuck(self) -> bool:
        """Whether the client does not end the frame that resets wait for."""
        waited = time.monotonic() - self._waits_since
        return bool(self._reset_inner) and waited > self._front.bounds.frame_s

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._front.connected.discard(self)
        self.close()

    def close(self) -> None:
        """At once: what its client has not read by now it will not read."""
        self._front.forget(self)
        server, self.peer = self.peer, None
        if isinstance(server, ServerConnection):
            server.close()
        if self.transport is not None:
            self.transport.abort()
        elif self.joining is not None:
            self.joining.cancel()  # a handshake that is under way

    def finish(self) -> None:
        """The server has ended: its last bytes go out, as long as the connection is not silent."""
        self.peer = None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()


class ServerConnection(_Side):
    """The gRPC server's side."""

    def __init__(self, client: ClientConnection) -> None:
        self._outer = client
        self.peer = client

    def data_received(self, data: bytes) -> None:
        self._outer.answer(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._outer.finish()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()


def _with_resets(data: bytes, reader: FrameReader, waiting: list[int]) -> bytes:
    """``data``, which was just read, with what waits for a place between frames."""
    if not waiting or reader.boundary < 0:
        return data
    parts = data[: reader.boundary], resets(waiting), data[reader.boundary :]
    waiting.clear()
    return b"".join(parts)
