"""Appending to a spool: one writer, every frame in the kernel's hands before it returns."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from pathlib import Path

from windvane.adapters.spool.frames import HEADER, MAX_PAYLOAD, frame, parse, segment_path, segments
from windvane.ports.spool import SpoolFull

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class FileSpoolWriter:
    """Owns one spool folder, under a lock that the kernel drops with the process.

    A segment is allocated on the disk whole and mapped: appending is a copy into the page
    cache, which outlives the process as what ``write`` puts there does, at a fraction of the
    cost. No append can meet a full disk halfway, for its blocks are there already.

    ``max_bytes`` bounds what the recorder may fall behind; beyond it appends are refused.
    A folder without segments begins at position ``first``, which must lie above all that a
    spool of this name ever reached: the recorder goes by positions.
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
        self._start = self._position = _repair(folder, first)
        self._oldest = min([start for start, _ in segments(folder)], default=self._start)
        self._map: mmap.mmap | None = None
        self._fd = -1
        self._room = 0  # the position up to which there is room in the segment
        self._left: list[int] = []  # files of full segments that are not forced to disk yet

    def append(self, payload: bytes) -> None:
        if len(payload) > MAX_PAYLOAD:
            raise SpoolFull(
                f"an event of {len(payload):,} bytes, {MAX_PAYLOAD:,} allowed",
                hint="send fewer rows at once",
            )
        data = frame(payload)
        end = self._position + len(data)
        if end - self._oldest > self._max_bytes:
            self._oldest = segments(self._folder)[0][0]
            if end - self._oldest > self._max_bytes:
                behind = self._position - self._oldest
                raise SpoolFull(f"{behind:,} bytes unrecorded, {self._max_bytes:,} allowed")
        if end > self._room:
            self._roll(len(data))
        at = self._position - self._start
        assert self._map is not None
        self._map[at : at + len(data)] = data
        self._position = end
        if end - self._start >= self._segment_bytes:
            with contextlib.suppress(SpoolFull):  # the next append tries again, and says so
                self._roll(HEADER.size)

    def sync(self) -> None:
        """May run on another thread than ``append``."""
        while self._left:
            full = self._left.pop()
            os.fdatasync(full)
            os.close(full)
        if self._fd >= 0:
            os.fdatasync(self._fd)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._leave()
        while self._left:
            full = self._left.pop()
            with contextlib.suppress(OSError):
                os.fdatasync(full)
            os.close(full)
        self._lock.close()

    def _roll(self, least: int) -> None:
        """Go on in a fresh segment with room for ``least`` bytes; raises SpoolFull and leaves
        everything as it was where the disk has none."""
        path = segment_path(self._folder, self._position)
        empty = self._map is not None and self._position == self._start
        try:
            # A segment that has no frame yet is the fresh one already; it only has to grow.
            fd = self._fd if empty else os.open(path, _FLAGS, 0o600)
        except OSError as error:
            raise SpoolFull(f"cannot write the spool: {error}") from error
        try:
            size, mapped = self._allocate(fd, least)
        except OSError as error:
            if not empty:
                os.close(fd)
                path.unlink(missing_ok=True)
            raise SpoolFull(f"cannot write the spool: {error}") from error
        if empty:
            assert self._map is not None
            self._map.close()
        else:
            self._leave()
        self._fd, self._map = fd, mapped
        self._start, self._room = self._position, self._position + size

    def _allocate(self, fd: int, least: int) -> tuple[int, mmap.mmap]:
        """Blocks on the disk and a map of them; on a disk that is nearly full a small segment
        is better than none."""
        wanted = [max(part, least) for part in (self._segment_bytes, self._segment_bytes // 16)]
        for size in wanted:
            try:
                os.posix_fallocate(fd, 0, size)
            except OSError:
                continue
            return size, mmap.mmap(fd, size)
        os.posix_fallocate(fd, 0, least)
        return least, mmap.mmap(fd, least)

    def _leave(self) -> None:
        """Cut what was not used off the segment, so that the next one follows its last frame."""
        if self._map is None:
            return
        self._map.close()
        self._map = None
        os.ftruncate(self._fd, self._position - self._start)
        self._left.append(self._fd)
        self._fd = -1
        self._room = self._position


def _repair(folder: Path, first: int) -> int:
    """Cut a torn frame off the last segment; the position to go on from.

    Only a frame that was never acknowledged can be torn: an answer leaves after the write.
    """
    found = segments(folder)
    if not found:
        return first
    start, path = found[-1]
    good = 0
    for at, payload in parse(path.read_bytes()):
        good = at + HEADER.size + len(payload)
    os.truncate(path, good)
    return start + good
