"""The routing feed in a file: a gateway needs nothing else to start and to go on."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from windvane.core.routing import RoutingTable


class FileRoutingFeed:
    """Publishes by an atomic rename, so that a reader sees an old table or a new, never half."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    def publish(self, table: RoutingTable) -> bool:
        held = self._read()
        if held is not None and held.seq >= table.seq:
            return False
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(f".{os.getpid()}.new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(table))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        return True

    def latest(self) -> RoutingTable | None:
        self._seen = self._stamp()
        return self._read()

    def changed(self) -> bool:
        return self._stamp() != self._seen

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino

    def _read(self) -> RoutingTable | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=RoutingTable)
        except FileNotFoundError:
            return None
