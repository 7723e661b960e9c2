"""An Arrow IPC stream, looked at before Arrow itself reads it: no message may claim more bytes
or rows than are there.

Source: the Arrow columnar format, "IPC streaming format"; Message.fbs; FlatBuffers internals.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from windvane.inference.errors import BadBody

_CONTINUATION = 0xFFFFFFFF
_MAX_METADATA = 1 << 20
_MAX_MESSAGES = 4_096
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
HINT = "send an Arrow IPC stream with one column a feature, without compression of its buffers"


def broken(message: str, hint: str = HINT) -> BadBody:
    """The error of a body that is no Arrow IPC stream which can be read safely."""
    return BadBody(message, hint=hint)


@dataclass(slots=True)
class StreamSize:
    rows: int = 0
    batches: int = 0


def check_stream(body: bytes, max_rows: int) -> StreamSize:
    """How many rows its record batches have. Raises BadBody.

    More than ``max_rows`` are counted no further.
    """
    found, at, messages = StreamSize(), 0, 0
    try:
        while at < len(body):
            if messages >= _MAX_MESSAGES:
                raise broken(f"over {_MAX_MESSAGES:,} messages")
            mark, size = struct.unpack_from("<Ii", body, at)
            if mark != _CONTINUATION:
                raise broken(f"message {messages} has no continuation mark")
            at += 8
            if size == 0:
                if at != len(body):
                    raise broken(f"{len(body) - at:,} bytes behind the end of the stream")
                break
            if not 0 < size <= min(_MAX_METADATA, len(body) - at):
                raise broken(f"message {messages} says that its metadata has {size:,} bytes")
            at = _message(memoryview(body), at, size, messages, found)
            if found.rows > max_rows:
                return found
            messages += 1
    except struct.error as error:
        raise broken(f"message {messages} is cut short") from error
    if messages == 0:
        raise broken("the stream has no schema")
    return found


def _message(body: memoryview, at: int, size: int, number: int, found: StreamSize) -> int:
    """Where the next message begins."""
    metadata = body[at : at + size]
    at += size
    table = _Table(metadata, _follow(metadata, 0))
    kind = table.small(1)
    length = table.long(3)
    if not 0 <= length <= len(body) - at:
        raise broken(f"message {number} says that its body has {length:,} bytes")
    if (kind == _SCHEMA) != (number == 0) or kind not in (_SCHEMA, _DICTIONARY, _BATCH):
        raise broken(f"message {number} is of kind {kind}; a schema, then batches may be")
    if kind != _SCHEMA:
        batch = table.table(2)
        if kind == _DICTIONARY:
            batch = batch.table(1)
        rows = batch.long(0)
        _check_batch(batch, number, length, len(body), rows)
        if kind == _BATCH:
            found.rows += rows
            found.batches += 1
    return at + length


def _check_batch(batch: _Table, number: int, length: int, body: int, rows: int) -> None:
    if batch.has(3):
        raise broken(
            f"message {number} has compressed buffers", hint="use Content-Encoding: zstd instead"
        )
    # No value takes less than a bit, so nothing can be longer than this.
    most = 8 * body
    if not 0 <= rows <= most:
        raise broken(f"message {number} says that it has {rows:,} rows")
    for count, nulls in batch.pairs(1):
        if not 0 <= count <= most or not 0 <= nulls <= count:
            raise broken(f"message {number} has a column of {count:,} values")
    for offset, size in batch.pairs(2):
        if not (0 <= offset <= length and 0 <= size <= length - offset):
            raise broken(f"message {number} has a buffer outside of its body")


class _Table:
    """A FlatBuffers table; every read is bounded, and raises struct.error beyond the end."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data = data
        self._at = at
        (back,) = struct.unpack_from("<i", data, at)
        self._vtable = at - back
        if not 0 <= self._vtable < len(data):
            raise struct.error("outside")
        (self._size,) = struct.unpack_from("<H", data, self._vtable)

    def _place(self, field: int) -> int:
        """Where a field lies, 0 for one that is not there."""
        slot = 4 + 2 * field
        if slot + 2 > self._size:
            return 0
        (offset,) = struct.unpack_from("<H", self._data, self._vtable + slot)
        return self._at + offset if offset else 0

    def has(self, field: int) -> bool:
        return self._place(field) > 0

    def small(self, field: int) -> int:
        place = self._place(field)
        return struct.unpack_from("<B", self._data, place)[0] if place else 0

    def long(self, field: int) -> int:
        place = self._place(field)
        return struct.unpack_from("<q", self._data, place)[0] if place else 0

    def table(self, field: int) -> _Table:
        place = self._place(field)
        if not place:
            raise struct.error("missing")
        return _Table(self._data, _follow(self._data, place))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of structs of two longs."""
        place = self._place(field)
        if not place:
            return []
        start = _follow(self._data, place)
        (count,) = struct.unpack_from("<I", self._data, start)
        start += 4
        if count * 16 > len(self._data) - start:
            raise struct.error("outside")
        return list(struct.iter_unpack("<qq", self._data[start : start + 16 * count]))


def _follow(data: memoryview, at: int) -> int:
    """Where an offset leads."""
    (offset,) = struct.unpack_from("<I", data, at)
    if not 0 < offset < len(data) - at:
        raise struct.error("outside")
    return at + offset
