"""HTTP/2 by hand: calls that a real client would not make."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

from windvane.apps.gateway.protocols.open_inference_messages import SERVICE

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream)
    return head + payload


def head(stream: int, path: str = f"/{SERVICE}/ModelInfer", flags: int = END_HEADERS) -> bytes:
    """A call's, as header lines that are neither indexed nor packed (RFC 7541, 6.2.2)."""
    lines = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", "Bearer wv_acme"),
    ]
    block = b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in lines
    )
    return frame(HEADERS, flags, stream, block)


def message(body: bytes) -> bytes:
    """With the five bytes that gRPC has before it."""
    return b"\x00" + struct.pack(">I", len(body)) + body


class Wire:
    """A connection, which answers settings and pings, and keeps what else it is sent."""

    def __init__(self, port: int, within_s: float = 20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=within_s)
        self._held = b""
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(frames))

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Kind, flags, stream, payload, until the connection ends. Raises TimeoutError."""
        with contextlib.suppress(ConnectionError):
            yield from self._frames()

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        while True:
            while len(self._held) < 9 or len(self._held) < 9 + int.from_bytes(self._held[:3]):
                more = self.socket.recv(65_536)
                if not more:
                    return
                self._held += more
            size = int.from_bytes(self._held[:3])
            kind, flags = self._held[3], self._held[4]
            stream = int.from_bytes(self._held[5:9])
            payload, self._held = self._held[9 : 9 + size], self._held[9 + size :]
            if kind == SETTINGS and not flags:
                self.send(frame(SETTINGS, 1, 0))
            elif kind == PING and not flags:
                self.send(frame(PING, 1, 0, payload))
            else:
                yield kind, flags, stream, payload

    def reset_or_end(self) -> dict[int, int]:
        """By stream the code of the first RST_STREAM; {} where the connection ends."""
        for kind, _, stream, payload in self.frames():
            if kind == RST_STREAM:
                return {stream: int.from_bytes(payload)}
        return {}

    def ends(self) -> bool:
        """Once it does. Raises TimeoutError."""
        for _ in self.frames():
            pass
        return True

    def close(self) -> None:
        self.socket.close()
