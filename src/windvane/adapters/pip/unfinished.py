"""Folders that are built, and what is left of those that were cut off.

A build holds the lock in its folder for as long as its process lives, whatever ends it: a folder
that nobody holds is a leftover.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from windvane.adapters.pip.integrity import size_of
from windvane.ports.environments import EnvironmentNotBuilt

_PREFIX, _LOCK = ".building-", "build.lock"
_TRIES = 10


@contextmanager
def unfinished_folder(folder: Path) -> Iterator[Path]:
    """A new folder below ``folder``, removed at the end unless it was renamed by then. Raises
    EnvironmentNotBuilt, OSError."""
    place, lock = _make(folder)
    try:
        yield place
    finally:
        erase(place)
        os.close(lock)


def put_aside(path: Path) -> Path:
    """Rename it, so that it is a leftover from now on; its new path. Raises FileNotFoundError."""
    return path.rename(_new(path.parent))


def erase(path: Path) -> int:
    """Remove a folder, or whatever it is; the bytes that it held. What is not there is none."""
    size = size_of(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return size


def remove_leftovers(folder: Path) -> int:
    """All that nobody builds; their bytes."""
    freed = 0
    for path in folder.glob(f"{_PREFIX}*"):
        if path.is_symlink() or not path.is_dir():
            freed += erase(path)
            continue
        lock = _hold(path)
        if lock is not None:
            freed += erase(path)
            os.close(lock)
    return freed


def _make(folder: Path) -> tuple[Path, int]:
    # Somebody who removes leftovers may take a new folder before it is held.
    for _ in range(_TRIES):
        place = _new(folder)
        place.mkdir()
        place.chmod(0o755)  # a sandbox reads it as another user, whatever this process' umask
        lock = _hold(place)
        if lock is not None:
            return place, lock
    raise EnvironmentNotBuilt(
        f"{_TRIES} new folders were removed at once by another process",
        hint="wait until it is done, then try again",
    )


def _new(folder: Path) -> Path:
    return folder / f"{_PREFIX}{secrets.token_hex(8)}"


def _hold(place: Path) -> int | None:
    """The lock in it, None where another process holds it or removed it meanwhile."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        lock = os.open(place / _LOCK, flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), (place / _LOCK).lstat()):
            return lock
    except OSError:
        pass
    os.close(lock)
    return None
