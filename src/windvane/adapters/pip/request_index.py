"""What requests came to: the id of the environment, by the id of the request.

Each request is one small file, which also is the lock that one process resolves it under. An
entry is a hint, and may be removed at any time: the request is then resolved again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from windvane.adapters.pip.locks import EXCLUSIVE, acquire, open_lock

_PREFIX = ".request-"
_ID_CHARACTERS = 64


class RequestEntry:
    """One request, while nobody else resolves it."""

    def __init__(self, lock: int) -> None:
        self._lock = lock

    def read(self) -> str:
        """The environment's id, "" for none."""
        found = os.pread(self._lock, _ID_CHARACTERS + 1, 0).decode("ascii", "replace")
        return found if is_id(found) else ""

    def write(self, environment: str) -> None:
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, environment.encode(), 0)


@contextmanager
def open_request(folder: Path, request: str, within_s: float) -> Iterator[RequestEntry]:
    """Raises EnvironmentNotBuilt where others resolve it for longer than ``within_s``."""
    with open_lock(folder / f"{_PREFIX}{request}") as lock:
        acquire(lock, EXCLUSIVE, within_s, "the same requirements")
        yield RequestEntry(lock)


def forget_requests(folder: Path, environment: str) -> None:
    """Remove the entries that name it."""
    for path in folder.glob(f"{_PREFIX}*"):
        try:
            with open(path, "rb") as file:
                named = file.read(_ID_CHARACTERS + 1).decode("ascii", "replace")
            if named == environment:
                path.unlink(missing_ok=True)
        except OSError:
            continue


def is_id(name: str) -> bool:
    """Whether it is a SHA-256 in hex."""
    return len(name) == _ID_CHARACTERS and set(name) <= set("0123456789abcdef")
