"""Appending to a spool: one writer, every frame handed to the kernel before it returns."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from windvane.adapters.spool.frames import MAX_PAYLOAD, frame, segment_path, segments
from windvane.ports.spool import SpoolFull


class FileSpoolWriter:
    """Owns one spool folder, under a lock that the kernel drops with the process.

    ``max_bytes`` bounds what the recorder may fall behind; beyond it appends are refused.
    It begins a segment of its own at position ``first``, or at the end of the newest one that is
    there if that is further. ``first`` must lie above all that a spool of this name ever reached:
    the recorder goes by positions, and the end of a segment may have been lost in a power cut
    after it was recorded. What was written before is left as it is: the reader knows what of it
    is whole.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = 8 << 20,
        max_bytes: int = 1 << 30,
        first: int = 0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        # What is recorded is freed by whole segments, so several must fit into the bound.
        self._segment_bytes = min(segment_bytes, max(max_bytes // 4, 1))
        self._max_bytes = max_bytes
        self._lock = (folder / "writer.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise SpoolFull(
                f"spool {folder.name} already has a writer", hint="stop the other gateway first"
            ) from error
        end = max((one.end for one in segments(folder)), default=0)
        self._position = max(first, end)
        self._full: list[int] = []  # segments that are left, but not forced to the disk yet
        self._fd = -1
        self._roll(end)

    def append(self, *payloads: bytes) -> None:
        longest = max(map(len, payloads), default=0)
        if longest > MAX_PAYLOAD:
            raise SpoolFull(
                f"an event of {longest:,} bytes, {MAX_PAYLOAD:,} allowed",
                hint="send fewer rows at once",
            )
        data = frame(payloads[0]) if len(payloads) == 1 else b"".join(map(frame, payloads))
        if self._held + len(data) > self._max_bytes:
            self._held = self._on_disk()
            if self._held + len(data) > self._max_bytes:
                raise SpoolFull(f"{self._held:,} bytes unrecorded, {self._max_bytes:,} allowed")
        try:
            written = os.write(self._fd, data)
            if written != len(data):
                raise OSError(f"{written} of {len(data)} bytes written")
        except OSError as error:
            os.ftruncate(self._fd, self._position - self._start)
            raise SpoolFull(f"cannot write the spool: {error}") from error
        self._position += len(data)
        self._held += len(data)
        if self._position - self._start >= self._segment_bytes:
            self._roll(self._position)

    def sync(self) -> None:
        """May run on another thread than ``append``, which then never waits for the disk."""
        while self._full:
            left = self._full.pop()
            os.fdatasync(left)
            os.close(left)
        os.fdatasync(self._fd)

    def close(self) -> None:
        self.sync()
        os.close(self._fd)
        self._lock.close()

    def _roll(self, before: int) -> None:
        path = segment_path(self._folder, self._position, before)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            fresh = os.open(path, flags, 0o600)
        except OSError:
            if self._fd >= 0:
                return  # the old segment grows on; the next append tries again
            raise
        if self._fd >= 0:
            self._full.append(self._fd)
        self._fd = fresh
        self._start = self._position
        self._held = self._on_disk()

    def _on_disk(self) -> int:
        return sum(one.end - one.start for one in segments(self._folder))
