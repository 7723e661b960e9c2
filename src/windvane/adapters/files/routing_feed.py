"""The routing feed in a file: a gateway needs nothing else to start and to go on."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from windvane.adapters.files.pending_rollbacks import FilePendingRollbacks
from windvane.core.routing import RoutingTable, without_versions

PENDING = "pending"

_ALONE_WITHIN_S = 10.0
_LOOK_AGAIN_S = 0.02


class FileRoutingFeed:
    """Publishes by an atomic rename, so that a reader sees an old table or a new, never half."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Beside it: whoever publishes must not bring back what was taken out without the store.
        self._pending = FilePendingRollbacks(path.parent / PENDING)
        self._seen: tuple[int, int] | None = None
        self._numbered: tuple[tuple[int, int], int | None] | None = None  # a stamp, and its seq

    def publish(self, table: RoutingTable) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            held = self._readable()
            if held is not None and held.seq >= table.seq:
                return False
            self._put(table)
            return True

    def amend(self, change: Callable[[RoutingTable], RoutingTable]) -> bool:
        with self._alone():
            held = self._readable()
            if held is None:
                return False
            self._put(change(held))
            return True

    def _put(self, table: RoutingTable) -> None:
        gone = [(one.model, one.version) for one in self._pending.waiting()]
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(without_versions(table, gone)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Between looking and renaming nobody else publishes; the kernel frees the lock of a
        publisher that dies, and one that hangs is given up on."""
        deadline = time.monotonic() + _ALONE_WITHIN_S
        with self._path.with_suffix(".lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_LOOK_AGAIN_S)
            yield

    def latest(self) -> RoutingTable | None:
        self._seen = self._stamp()
        return self._read()

    def last_seq(self) -> int | None:
        stamp = self._stamp()
        if stamp is None:
            return None
        if self._numbered is None or self._numbered[0] != stamp:
            held = self._readable()
            self._numbered = stamp, None if held is None else held.seq
        return self._numbered[1]

    def changed(self) -> bool:
        return self._stamp() != self._seen

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino

    def _readable(self) -> RoutingTable | None:
        """A file that cannot be read, or is of another release, is replaced by the next one."""
        try:
            return self._read()
        except (msgspec.MsgspecError, ValueError, RecursionError, PermissionError):
            return None

    def _read(self) -> RoutingTable | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=RoutingTable)
        except FileNotFoundError:
            return None
