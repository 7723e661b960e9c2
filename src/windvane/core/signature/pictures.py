"""What an encoded picture says of itself in its header. Pixels are not decoded: that takes a
library, memory without a bound, and longer than most predictions."""

from __future__ import annotations

import base64
from typing import Literal

PLAIN_PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKUlEQVR42u3NQQEAAAQEMPQPcVGV4LcVWCepT1PP"
    "BAKBQCAQCAQCwZUFScgCIEGXrw4AAAAASUVORK5CYII="
)
"""A grey PNG of 32 by 32 pixels in RGB."""

_MOST_SEGMENTS = 256
_MOST_FILL = 64
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


def picture_size(encoded: bytes) -> tuple[int, int]:
    """(width, height) in pixels as the header of a PNG, JPEG, GIF or WebP file has them; (0, 0)
    for anything else. Reads a bounded number of bytes, whatever is in them.

    Sources: PNG (third edition) 11.2.1; ITU-T T.81 B.1.1 and B.2.2; GIF89a 18; RFC 9649 2.4 to 2.7.
    """
    if encoded[:8] == b"\x89PNG\r\n\x1a\n" and encoded[12:16] == b"IHDR":
        return _pair(encoded, 16, 4, "big")
    if encoded[:2] == b"\xff\xd8":
        return _jpeg(encoded)
    if encoded[:6] in (b"GIF87a", b"GIF89a"):
        return _pair(encoded, 6, 2, "little")
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return _webp(encoded)
    return 0, 0


def _pair(encoded: bytes, at: int, width: int, order: Literal["big", "little"]) -> tuple[int, int]:
    """Two unsigned integers of ``width`` bytes, side by side; (0, 0) where they end early."""
    held = encoded[at : at + 2 * width]
    if len(held) < 2 * width:
        return 0, 0
    return int.from_bytes(held[:width], order), int.from_bytes(held[width:], order)


def _jpeg(encoded: bytes) -> tuple[int, int]:
    """Of the first frame: the segments before it, such as EXIF with a preview, are passed over."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        if encoded[at : at + 1] != b"\xff":
            break
        fill = 0
        while fill < _MOST_FILL and encoded[at + 1 : at + 2] == b"\xff":
            at, fill = at + 1, fill + 1
        head = encoded[at + 1 : at + 4]  # marker, length with its own two bytes
        if len(head) < 3 or head[0] in (_START_OF_SCAN, _END_OF_IMAGE):
            break
        if head[0] in _START_OF_FRAME:
            height, width = _pair(encoded, at + 5, 2, "big")
            return width, height
        at += 2 + int.from_bytes(head[1:], "big")
    return 0, 0


def _webp(encoded: bytes) -> tuple[int, int]:
    kind = encoded[12:16]
    if kind == b"VP8 " and encoded[23:26] == b"\x9d\x01\x2a":
        width, height = _pair(encoded, 26, 2, "little")
        return width & 0x3FFF, height & 0x3FFF  # the upper two bits say how to scale it
    if kind == b"VP8L" and encoded[20:21] == b"\x2f" and len(encoded) >= 25:
        bits = int.from_bytes(encoded[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(encoded) >= 30:
        width, height = _pair(encoded, 24, 3, "little")
        return width + 1, height + 1
    return 0, 0
