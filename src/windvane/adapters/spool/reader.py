"""Reading spools while they are written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from windvane.adapters.spool.frames import HEADER, parse, segments
from windvane.ports.spool import Batch

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
        """Frames of one segment; an empty batch means that nothing more is there yet."""
        found = segments(self._root / spool)
        for i, (start, path) in enumerate(found):
            after = found[i + 1][0] if i + 1 < len(found) else None
            if after is not None and position >= after:
                continue
            if 0 < position < start:
                _log.error(
                    "spool %s begins at %d: what lay after %d is gone", spool, start, position
                )
            position = max(position, start)
            with path.open("rb") as file:
                file.seek(position - start)
                data = file.read(limit)
                payloads = tuple((position + at, body) for at, body in parse(data))
                if not payloads and len(data) == limit:
                    file.seek(position - start)  # one frame is larger than the limit
                    payloads = tuple((position + at, body) for at, body in parse(file.read()))
            if payloads:
                last, body = payloads[-1]
                return Batch(spool, position, last + HEADER.size + len(body), payloads)
            if after is None:
                break
            if position < after:
                lost = after - position
                _log.error("spool %s: skipping %d damaged bytes at %d", spool, lost, position)
                return Batch(spool, position, after, ())
        return Batch(spool, position, position, ())

    def waiting(self, spool: str, position: int) -> int:
        found = segments(self._root / spool)
        if not found:
            return 0
        start, last = found[-1]
        return max(0, start + last.stat().st_size - max(position, found[0][0]))

    def release(self, spool: str, position: int) -> None:
        found = segments(self._root / spool)
        for (_, path), (after, _) in pairwise(found):
            if after <= position:
                path.unlink(missing_ok=True)
