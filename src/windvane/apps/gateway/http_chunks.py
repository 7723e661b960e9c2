"""Chunked bodies, strictly: what ends one is never a matter of opinion."""

from __future__ import annotations

import re

_LINE_BYTES = 256
_TRAILER_BYTES = 8_192
_SPARE_CHUNKS, _BYTES_A_CHUNK = 1_024, 16
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")


class BrokenChunks(ValueError):
    """The body is not in chunks as HTTP has them."""


class ChunksTooLarge(ValueError):
    """More bytes, or more chunks, than are read."""


class ChunkedBody:
    """``feed`` it what comes until it says that the body is whole; then ``body`` has it, and
    ``behind`` what came after it. Trailers are checked and dropped.

    Tiny chunks cost far more than their bytes, so their number is bounded too.
    """

    __slots__ = ("_chunks", "_held", "_left", "_max_bytes", "_trailing", "behind", "body")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._chunks = _SPARE_CHUNKS + max_bytes // _BYTES_A_CHUNK
        self._left = 0  # of a chunk and the line end behind it
        self._trailing = -1  # bytes of trailers so far, once they have begun
        self._held = b""  # less than a line
        self.body = bytearray()
        self.behind = b""

    def feed(self, data: bytes) -> bool:
        """Raises BrokenChunks, ChunksTooLarge."""
        data, at = self._held + data, 0
        self._held = b""
        while True:
            if self._left:
                at = self._data(data, at)
                if self._left:
                    return False
            end = data.find(b"\r\n", at, at + _LINE_BYTES + 2)
            if end < 0:
                self._held = data[at:]
                self._check_part(self._held)
                return False
            line, at = data[at:end], end + 2
            if self._trailing < 0:
                self._size(line)
            elif not line:
                self.behind = data[at:]
                return True
            else:
                self._trailing += len(line)
                if self._trailing > _TRAILER_BYTES or not _TRAILER.fullmatch(line):
                    raise BrokenChunks("the trailers are too long, or none")

    def _data(self, data: bytes, at: int) -> int:
        wanted = self._left - 2
        if wanted > 0:
            part = data[at : at + wanted]
            self.body += part
            self._left -= len(part)
            at += len(part)
        if self._left <= 2:
            line_end = data[at : at + self._left]
            if line_end != b"\r\n"[2 - self._left :][: len(line_end)]:
                raise BrokenChunks("a chunk is longer than it says")
            self._left -= len(line_end)
            at += len(line_end)
        return at

    def _size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise BrokenChunks("a chunk does not begin with its size")
        size = int(found[1], 16)
        self._chunks -= 1
        if len(self.body) + size > self._max_bytes or self._chunks < 0:
            raise ChunksTooLarge(f"over {self._max_bytes:,} bytes, or too many chunks")
        if size:
            self._left = size + 2
        else:
            self._trailing = 0

    @staticmethod
    def _check_part(held: bytes) -> None:
        if len(held) > _LINE_BYTES or b"\n" in held or b"\r" in held[:-1]:
            raise BrokenChunks("a line of the chunked body is too long, or does not end in CRLF")
