"""What a request's head says in so many words, checked: the client's id, a key, a deadline."""

from __future__ import annotations

from collections.abc import Mapping

from windvane.apps.gateway.statuses import BadIdempotencyKey
from windvane.core.admission import read_grpc_timeout, read_timeout
from windvane.inference.errors import BadDeadline
from windvane.inference.idempotency import MAX_KEY

_MAX_ID = 128


def printable(given: bytes, most: int = _MAX_ID) -> str:
    """What the client calls it; "" for what would not survive a log line."""
    if 0 < len(given) <= most and given.isascii():
        text = given.decode("ascii")
        return text if text.isprintable() else ""
    return ""


def idempotency_key(given: bytes) -> str:
    """Raises BadIdempotencyKey: a request that asks for protection is not answered without."""
    key = printable(given, MAX_KEY)
    if not key:
        sides = f"{len(given)} bytes, of 1 to {MAX_KEY} printable ASCII characters"
        raise BadIdempotencyKey(f"Idempotency-Key: {sides}")
    return key


def asked_s(headers: Mapping[bytes, bytes]) -> float:
    """Within how many seconds an answer is wanted. Raises BadDeadline."""
    for name, read in ((b"x-request-deadline", read_timeout), (b"grpc-timeout", read_grpc_timeout)):
        given = headers.get(name)
        if given is not None:
            timeout_s = read(given.decode("latin-1"))
            if timeout_s is not None:
                return timeout_s
            word = given[:32].decode("latin-1")
            raise BadDeadline(f"{name.decode()}: {word!r} is no time")
    raise BadDeadline("no deadline was sent")
