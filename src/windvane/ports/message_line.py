"""Messages between two processes: each after its length in four bytes, big-endian."""

from __future__ import annotations

import socket
import time

LENGTH_BYTES = 4
_PART = 1 << 20
_LEAST_S = 0.001


class MessageTooLarge(Exception):
    """Its length is beyond what was allowed; nothing of it was read."""


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def exchange(line: socket.socket, body: bytes, until: float, most: int) -> bytes:
    """The answer to ``body``, of at most ``most`` bytes. ``until`` is of `time.monotonic`. Raises
    TimeoutError, MessageTooLarge, and OSError where the other end is gone."""
    line.settimeout(max(until - time.monotonic(), _LEAST_S))
    line.sendall(framed(body))
    size = int.from_bytes(_receive(line, LENGTH_BYTES, until), "big")
    if size > most:
        raise MessageTooLarge(f"it answered {size:,} bytes, {most:,} allowed")
    return _receive(line, size, until)


def _receive(line: socket.socket, size: int, until: float) -> bytes:
    found = bytearray()
    while len(found) < size:
        left = until - time.monotonic()
        if left <= 0.0:
            raise TimeoutError
        line.settimeout(left)
        part = line.recv(min(size - len(found), _PART))
        if not part:
            raise ConnectionResetError("it hung up")
        found += part
    return bytes(found)
