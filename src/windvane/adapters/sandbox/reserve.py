"""Folders of sandboxes, and how much memory those that live may use together.

A sandbox's folder holds a file that is locked while its owner lives and says how much memory it
may use. So the sum is right over all processes of an installation, and after any of them died.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from windvane.adapters.sandbox.limits import Limits
from windvane.ports.runtime import RuntimeFailed

_PREFIX = "windvane-sandbox-"
_HELD = ".held"


def reserve(limits: Limits, log: Path | None) -> tuple[Path, IO[bytes]]:
    """A private folder, and its locked file; raises RuntimeFailed beyond ``total_memory``."""
    group = f"{_PREFIX}{_group(log)}-"
    with _one_at_a_time(log.parent if log else Path(tempfile.gettempdir()), group):
        used = [_memory(path) for path in _living(group)]
        if sum(used) + limits.memory > limits.total_memory:
            raise RuntimeFailed(
                f"{len(used)} sandboxes may use {sum(used):,} bytes of memory already, and this "
                f"one {limits.memory:,}: more than {limits.total_memory:,} (sandbox_total_memory)"
            )
        made = Path(tempfile.mkdtemp(prefix=f".{group}"))  # a name that no sweep looks at
        held = (made / _HELD).open("wb")
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(str(limits.memory).encode())
        held.flush()
        folder = made.rename(made.with_name(made.name.removeprefix(".")))
    return folder, held


def sweep() -> None:
    """Remove the folders of processes that died without a chance to."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _alone(folder / _HELD):
            shutil.rmtree(folder, ignore_errors=True)


def _group(log: Path | None) -> str:
    """The installation's name; a sandbox without a log counts with its own process's."""
    identity = f"{os.getuid()} {log.parent.resolve() if log else os.getpid()}"
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


@contextlib.contextmanager
def _one_at_a_time(folder: Path, group: str) -> Iterator[None]:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    at = os.open(folder / f".{group}lock", flags, 0o600)
    try:
        fcntl.flock(at, fcntl.LOCK_EX)
        yield
    finally:
        os.close(at)


def _living(group: str) -> Iterator[Path]:
    for folder in Path(tempfile.gettempdir()).glob(f"{group}*"):
        path = folder / _HELD
        try:
            if folder.lstat().st_uid != os.getuid():
                continue  # somebody else's, named like ours
            with _alone(path):
                continue  # its owner is dead
        except BlockingIOError:
            yield path
        except OSError:
            continue


def _memory(path: Path) -> int:
    try:
        return int(path.read_bytes() or 0)
    except (OSError, ValueError):  # it went meanwhile
        return 0


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
