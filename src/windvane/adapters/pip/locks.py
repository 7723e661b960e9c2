"""Locks between processes of one machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from windvane.ports.environments import EnvironmentNotBuilt

EXCLUSIVE, SHARED = fcntl.LOCK_EX, fcntl.LOCK_SH

_POLLS_EVERY_S = 0.05


@contextmanager
def open_lock(path: Path) -> Iterator[int]:
    """A descriptor of the file, which is made where it is not there; what was acquired is let go
    with it. Raises OSError."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield lock
    finally:
        os.close(lock)


def acquire(lock: int, kind: int, within_s: float, what: str) -> None:
    """EXCLUSIVE or SHARED. Raises EnvironmentNotBuilt where others hold ``what`` for longer than
    ``within_s``."""
    until = time.monotonic() + within_s
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
            return
        if time.monotonic() >= until:
            raise EnvironmentNotBuilt(
                f"other processes use {what} for more than {within_s:g} s",
                hint="wait until these registrations are done",
            )
        time.sleep(_POLLS_EVERY_S)
