"""Frames and segment names.

A frame is ``<u32 length><u32 crc32 of the payload, seeded><payload>``, little-endian. A segment's
name has the spool position of its first byte, so positions never depend on what was deleted, and
the position at which the segment before it ended: what lies between the two was never used.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from windvane.ports.spool import MAX_EVENT_BYTES

HEADER = struct.Struct("<II")
SUFFIX = ".spool"
MAX_PAYLOAD = MAX_EVENT_BYTES
# Zeros, as a power cut leaves them at a file's end, must not be a right frame of nothing.
_SEED = 0x57564E45
_DIGITS = 20
_NAME = re.compile(rf"([0-9]{{1,{_DIGITS}}})(?:-([0-9]{{1,{_DIGITS}}}))?{re.escape(SUFFIX)}")
_LOOK_BYTES = 1 << 20
_SHORT = 1 << 16  # of a payload whose checksum costs nothing
_MOST_CHECKED = 256 << 20  # bytes whose checksum is taken in the search for one frame


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """``start`` is the position of its first byte; ``before`` where the one before it ended, 0
    where there was none or nothing in it."""

    start: int
    before: int
    path: Path

    @property
    def end(self) -> int:
        """As it is now; its start where the file is gone."""
        try:
            return self.start + self.path.stat().st_size
        except FileNotFoundError:
            return self.start


def frame(payload: bytes) -> bytes:
    return HEADER.pack(len(payload), zlib.crc32(payload, _SEED)) + payload


def parse(data: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
    """(offset, payload) of each whole, correct frame; stops before the first other."""
    at = 0
    while at + HEADER.size <= len(data):
        length, checksum = HEADER.unpack_from(data, at)
        end = at + HEADER.size + length
        if length > MAX_PAYLOAD or end > len(data):
            return
        payload = bytes(data[at + HEADER.size : end])
        if zlib.crc32(payload, _SEED) != checksum:
            return
        yield at, payload
        at = end


def find_frame(data: bytes, first: int) -> int | None:
    """The offset from ``first`` on at which the next whole, correct frame begins; None where none
    is found. Frames of nothing are passed over, and the search ends when it has cost too much."""
    budget = _MOST_CHECKED
    view = memoryview(data)
    for begin in range(first, len(data) - HEADER.size, _LOOK_BYTES):
        until = min(begin + _LOOK_BYTES, len(data) - HEADER.size)
        parts = np.frombuffer(data, np.uint8, until - begin + 3, begin).astype(np.int64)
        lengths = parts[:-3] + (parts[1:-2] << 8) + (parts[2:-1] << 16) + (parts[3:] << 24)
        room = len(data) - HEADER.size - np.arange(begin, until)
        possible = np.flatnonzero((lengths > 0) & (lengths <= np.minimum(room, MAX_PAYLOAD)))
        for at in (possible + begin).tolist():
            length, checksum = HEADER.unpack_from(data, at)
            end = at + HEADER.size + length
            if length > _SHORT and not _may_begin(data, end):
                continue
            budget -= length
            if budget < 0:
                return None
            if zlib.crc32(view[at + HEADER.size : end], _SEED) == checksum:
                return at
    return None


def _may_begin(data: bytes, at: int) -> bool:
    """Whether a frame may begin there, or the data end: a whole header tells, a cut one may."""
    if at + HEADER.size > len(data):
        return True
    return HEADER.unpack_from(data, at)[0] <= MAX_PAYLOAD


def segment_path(folder: Path, start: int, before: int) -> Path:
    return folder / f"{start:0{_DIGITS}d}-{before:0{_DIGITS}d}{SUFFIX}"


def segments(folder: Path) -> list[Segment]:
    """Of a spool, oldest first. A name without a second position is of a release that began each
    segment where the one before it ended."""
    found: list[Segment] = []
    for path in folder.glob(f"*{SUFFIX}"):
        named = _NAME.fullmatch(path.name)
        if named is not None:  # else somebody put it there
            found.append(Segment(int(named[1]), int(named[2] or named[1]), path))
    return sorted(found)
