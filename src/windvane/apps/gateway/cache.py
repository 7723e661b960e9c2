"""Answers given before: least recently used ones go first, all of them in time."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec
import xxhash

_pack = msgspec.msgpack.Encoder().encode
# What an entry takes beside its key's bytes: the key's object, a tuple, two floats, and a dict
# that is on average three quarters full.
_ENTRY_BYTES = 104 + sys.getsizeof(b"") + sys.getsizeof((0.0, 0.0)) + 2 * sys.getsizeof(0.0)


def cache_prefix(
    tenant: str, model: str, version: str, manifest: str, features: Sequence[str]
) -> bytes:
    """What every key of one tenant and version begins with. Lengths are written, so that no
    two different names can make the same prefix. ``features`` say what a row's places mean:
    a model's file may be applied again with another order."""
    order = xxhash.xxh3_64_digest(_pack(features))
    return _pack((tenant, model, version, manifest[:16], order))


def cache_key(prefix: bytes, values: object) -> bytes:
    """A row's key: the prefix and 128 bits of the row. Not a cryptographic hash: who can make
    two rows collide is the tenant that sends both, and nobody else meets the answer."""
    return prefix + xxhash.xxh3_128_digest(_pack(values))


class AnswerCache:
    """One worker's answers, at most ``max_bytes`` of them. Times are handed in, in seconds."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._held: dict[bytes, tuple[float, float]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes, now: float) -> float | None:
        found = self._held.pop(key, None)
        if found is None:
            return None
        if found[1] <= now:
            self.bytes -= len(key) + _ENTRY_BYTES
            return None
        self._held[key] = found  # to the young end
        return found[0]

    def put(self, key: bytes, value: float, until: float) -> None:
        size = len(key) + _ENTRY_BYTES
        if size > self._max:
            return
        if self._held.pop(key, None) is None:
            self.bytes += size
        self._held[key] = (value, until)
        while self.bytes > self._max:
            oldest = next(iter(self._held))
            del self._held[oldest]
            self.bytes -= len(oldest) + _ENTRY_BYTES
