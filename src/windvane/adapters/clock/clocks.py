"""The system clock and the driven clock."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path


class SystemClock:
    """Business time is the wall's."""

    def now(self) -> float:
        return time.time()

    def wall(self) -> float:
        return time.time()


class DrivenClock:
    """Business time lies in eight bytes of a shared file that one driver moves.

    Every process maps the file, so they all agree and a slow machine merely takes longer:
    time never runs ahead of the work done in it. Leases and retries stay on the wall's.
    """

    def __init__(self, path: Path, start: float | None = None) -> None:
        if start is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(struct.pack("<d", start))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    def now(self) -> float:
        return float(struct.unpack("<d", self._map[:8])[0])

    def wall(self) -> float:
        return time.time()

    def move_to(self, now: float) -> None:
        """Driver only; business time never goes back."""
        if now > self.now():
            self._map[:8] = struct.pack("<d", now)


def open_clock(driven: str) -> SystemClock | DrivenClock:
    """The driven clock at the path ``driven``, or the system's for ""."""
    return DrivenClock(Path(driven)) if driven else SystemClock()
