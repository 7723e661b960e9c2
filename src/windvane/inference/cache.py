"""Answers given before: least recently used ones go first, all of them in time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import xxhash

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
# What an entry takes beside its key's bytes: the key's object, a tuple, two floats, and a dict
# that is on average three quarters full.
_ENTRY_BYTES = 104 + sys.getsizeof(b"") + sys.getsizeof((0.0, 0.0)) + 2 * sys.getsizeof(0.0)
_NUMBER_BYTES = sys.getsizeof(0.0) + 8
_LIST_BYTES = sys.getsizeof([])


def cache_prefix(
    tenant: str, model: str, version: str, manifest: str, contract: str, features: Sequence[str]
) -> bytes:
    """What every key of one tenant and version begins with. Lengths are written, so that no
    two different names can make the same prefix. ``contract`` and ``features`` say what a row's
    places and its outputs mean: a model's file may be applied again with others."""
    order = xxhash.xxh3_64_digest(_pack(features))
    return _pack((tenant, model, version, manifest[:16], contract, order))


def cache_key(prefix: bytes, values: object) -> bytes:
    """A row's key: the prefix and 128 bits of the row. Not a cryptographic hash: who can make
    two rows collide is the tenant that sends both, and nobody else meets the answer."""
    return prefix + xxhash.xxh3_128_digest(_pack(values))


def pack_outputs(row: tuple[Any, ...]) -> bytes:
    """A row of outputs for a cache that is shared."""
    return _pack(row)


def unpack_outputs(body: bytes) -> tuple[Any, ...] | None:
    """None for what cannot be read."""
    try:
        found = _unpack(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return tuple(cast("list[Any]", found)) if isinstance(found, list) else None


def _size(row: Sequence[Any]) -> int:
    """About how many bytes a row of outputs holds beyond one number."""
    total = 0
    for held in row:
        if isinstance(held, list):
            inner = cast("list[Any]", held)
            total += _LIST_BYTES + _NUMBER_BYTES * len(inner) + _size(inner)
    return total


class AnswerCache:
    """One worker's answers, at most ``max_bytes`` of them. Times are handed in, in seconds."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._held: dict[bytes, tuple[tuple[Any, ...], float, int]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes, now: float) -> tuple[Any, ...] | None:
        found = self._held.pop(key, None)
        if found is None:
            return None
        if found[1] <= now:
            self.bytes -= found[2]
            return None
        self._held[key] = found  # to the young end
        return found[0]

    def put(self, key: bytes, outputs: tuple[Any, ...], until: float) -> None:
        size = len(key) + _ENTRY_BYTES + _size(outputs)
        if size > self._max:
            return
        before = self._held.pop(key, None)
        self.bytes += size - (before[2] if before is not None else 0)
        self._held[key] = (outputs, until, size)
        while self.bytes > self._max:
            oldest = next(iter(self._held))
            self.bytes -= self._held.pop(oldest)[2]
