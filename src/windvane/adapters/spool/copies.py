"""The spool as a backup takes it: segments stay open, so that one may be released meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from windvane.adapters.spool.frames import HEADER, Segment, find_frame, parse, segments
from windvane.ports.backups import SpoolPiece


class FileSpoolCopies:
    """The port for copies of spools, below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def hold(self) -> Iterator[_Held]:
        held = _Held(self._root)
        try:
            held.look_again()
            yield held
        finally:
            held.close()


class _Held:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: dict[str, dict[Segment, BinaryIO]] = {}

    def look_again(self) -> None:
        if not self._root.is_dir():
            return
        for folder in sorted(self._root.iterdir()):
            held = self._open.setdefault(folder.name, {})
            for segment in segments(folder):
                if segment not in held:
                    try:
                        held[segment] = segment.path.open("rb")
                    except FileNotFoundError:
                        continue  # released a moment ago: the gap that it may leave is found

    def cut(self, positions: Mapping[str, int]) -> tuple[list[SpoolPiece], list[str]]:
        pieces: list[SpoolPiece] = []
        missing: list[str] = []
        for spool, held in self._open.items():
            reached = positions.get(spool, 0)
            found = sorted(held)
            for i, segment in enumerate(found):
                file = held[segment]
                size = os.fstat(file.fileno()).st_size
                end = segment.start + size
                if i + 1 < len(found) and end <= reached:
                    continue
                if segment.before > reached and reached:
                    missing.append(f"spool {spool}: {reached} to {segment.before} is not there")
                size = size if i + 1 < len(found) else _whole_events(file, size)
                reached = max(reached, end)
                file.seek(0)
                pieces.append(SpoolPiece(f"{spool}/{segment.path.name}", size, file))
        return pieces, missing

    def close(self) -> None:
        for held in self._open.values():
            for file in held.values():
                file.close()


def _whole_events(file: BinaryIO, size: int) -> int:
    """Without the event at the end that is being written, which nobody was told of yet."""
    file.seek(0)
    data = file.read(size)
    whole = 0
    for at, payload in parse(data):
        whole = at + HEADER.size + len(payload)
    rest = data[whole:]
    return size if rest and find_frame(rest, 1) is not None else whole
