"""Frames and segment names.

A frame is ``<u32 length><u32 crc32 of the payload, seeded><payload>``, little-endian. A segment's
name is the spool position of its first byte, so positions never depend on what was deleted.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from windvane.ports.spool import MAX_EVENT_BYTES

HEADER = struct.Struct("<II")
SUFFIX = ".spool"
MAX_PAYLOAD = MAX_EVENT_BYTES
# Zeros, as a power cut leaves them at a file's end, must not be a right frame of nothing.
_SEED = 0x57564E45


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


def segment_path(folder: Path, start: int) -> Path:
    return folder / f"{start:020d}{SUFFIX}"


def segments(folder: Path) -> list[tuple[int, Path]]:
    """(start, path) of every segment, oldest first."""
    return sorted((int(p.name[: -len(SUFFIX)]), p) for p in folder.glob(f"*{SUFFIX}"))
