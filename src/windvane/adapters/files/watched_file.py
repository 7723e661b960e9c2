"""A file that is read again when it changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)
T = TypeVar("T")


class WatchedFile(Generic[T]):
    """What ``read`` makes of a file's text, made anew when the file changes. One that cannot be
    read is said once, and what was read before holds: ``none`` at first."""

    def __init__(self, path: Path, read: Callable[[str], T], none: T, most_bytes: int) -> None:
        self._path, self._read, self._most = path, read, most_bytes
        self._held: T = none
        self._seen: tuple[int, int] | None = None

    def __call__(self) -> T:
        try:
            found = self._path.stat()
            mark = (found.st_mtime_ns, found.st_size)
        except OSError:
            mark = (0, -1)
        if mark != self._seen:
            self._seen = mark
            try:
                with self._path.open("rb") as file:
                    self._held = self._read(file.read(self._most + 1).decode())
            except Exception as error:
                _log.error("%s cannot be read, what was read before holds: %s", self._path, error)
        return self._held
