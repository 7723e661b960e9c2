"""Reading spools while they are written."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from windvane.adapters.spool.frames import HEADER, Segment, find_frame, parse, segments
from windvane.ports.spool import MOST_LOST_BYTES, Batch

_RELEASED = "released"
_log = logging.getLogger(__name__)


class FileSpoolReader:
    """All spools below one folder; a spool's name is its folder's."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def spools(self) -> Sequence[str]:
        if not self._root.is_dir():
            return []
        return sorted(p.name for p in self._root.iterdir() if p.is_dir())

    def read(self, spool: str, position: int, limit: int) -> Batch:
        """Frames of one segment; an empty batch that ends where it starts means that nothing more
        is there yet. Damaged bytes are a batch of their own, without payloads: up to the next
        frame that is right, or to the end of a segment that is written no more."""
        found = segments(self._root / spool)
        for segment, following in zip_longest(found, found[1:]):
            if following is not None and position >= following.start:
                continue
            if position == 0 and segment is found[0]:
                # No recorder that is known of met this spool. What one before it released, whose
                # positions are gone, was recorded; the rest of what lay here was not.
                position = min(_released(self._root / spool), segment.before)
            if position < segment.before:
                # Where a writer's first segment is gone, nobody knows how far above the one before
                # it began: that counts as more than was ever written, up to a bound.
                gone = min(segment.before - position, MOST_LOST_BYTES)
                _log.error(
                    "spool %s goes on at %d: up to %d bytes from %d are gone",
                    spool, segment.start, gone, position,
                )  # fmt: skip
                return Batch(spool, position, segment.start, (), gone)
            if not segment.before and 0 < position < segment.start:
                _log.error(
                    "spool %s begins anew at %d: nobody knows what lay after %d",
                    spool, segment.start, position,
                )  # fmt: skip
                return Batch(spool, position, segment.start, ())
            position = max(position, segment.start)
            until = following.before if following is not None else None
            batch = _read(segment, spool, position, limit, until)
            if batch is not None:
                return batch
        return Batch(spool, position, position, ())

    def waiting(self, spool: str, position: int) -> int:
        found = segments(self._root / spool)
        return sum(max(0, one.end - max(position, one.start)) for one in found)

    def release(self, spool: str, position: int) -> None:
        folder, done = self._root / spool, 0
        for segment in segments(folder)[:-1]:
            if segment.end <= position:
                segment.path.unlink(missing_ok=True)
                done = position
        if done > _released(folder):
            # A full disk must not keep anything from being released; the next one tells it all.
            with contextlib.suppress(OSError):
                fresh = folder / f"{_RELEASED}.new"
                fresh.write_text(str(done))
                fresh.replace(folder / _RELEASED)


def _released(folder: Path) -> int:
    """Up to where a recorder released this spool; 0 where none did."""
    try:
        return int((folder / _RELEASED).read_text())
    except (OSError, ValueError):
        return 0


def _read(
    segment: Segment, spool: str, position: int, limit: int, until: int | None
) -> Batch | None:
    """What comes next of a segment; None where nothing does. ``until``: where it ended when the
    next one began; None where there is none, so that more may come."""
    most = sys.maxsize if until is None else max(0, until - position)
    try:
        opened = segment.path.open("rb")
    except FileNotFoundError:  # what follows says how much is gone
        return None
    with opened as file:
        file.seek(position - segment.start)
        data = file.read(min(limit, most))
        payloads = tuple((position + at, body) for at, body in parse(data))
        if not payloads and data:  # one frame is larger than the limit, or damaged
            data = (data + file.read())[:most]
            payloads = tuple((position + at, body) for at, body in parse(data))
    if payloads:
        last, body = payloads[-1]
        return Batch(spool, position, last + HEADER.size + len(body), payloads)
    good = find_frame(data, 1) if data else None
    if not data or (good is None and until is None):
        return None
    lost = len(data) if good is None else good
    _log.error("spool %s: skipping %d damaged bytes at %d", spool, lost, position)
    return Batch(spool, position, position + lost, (), lost)
