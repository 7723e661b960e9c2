"""The lock of a home that is up, and what the process that holds it says of itself."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import ClassVar, TextIO

import msgspec

from windvane.apps.cli.home import close_home
from windvane.core.errors import WindvaneError
from windvane.usecases.read_settings import Settings

LOCK = "up.lock"


class CannotStart(WindvaneError):
    """A process did not come up, or this home is already served."""

    code: ClassVar[str] = "SUP-101"
    hint = "the home's logs folder has each process's last words"


class Holder(msgspec.Struct, frozen=True):
    """The process that serves a home, and the addresses it listens on by name. ``started`` is
    when the kernel started it, in ticks since it booted: with ``pid`` it names one process only;
    0 from a release that did not write it."""

    pid: int
    addresses: dict[str, str]
    started: int = 0

    def __str__(self) -> str:
        where = ", ".join(f"{name} on {address}" for name, address in self.addresses.items())
        return f"process {self.pid} ({where})"


def claim(settings: Settings) -> TextIO:
    """The home's lock, which is held until the file is closed, with this process named in it.
    Raises CannotStart, naming who holds it."""
    close_home(settings.folder)
    # Not "w": that would empty what the holder has written.
    file = (settings.folder / LOCK).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        holder = _read(settings.folder)
        whom = f"by {holder}" if holder else "by another process"
        stop = "`windvane stop` stops it"
        raise CannotStart(
            f"{settings.folder} is already served {whom}",
            hint=f"{stop}; `windvane restart` replaces its workers; --home takes another home",
        ) from error
    addresses = {
        "gateway": f"{settings.host}:{settings.port}",
        "console": f"{settings.host}:{settings.console_port}",
    }
    if settings.grpc_port is not None:
        addresses["gRPC"] = f"{settings.host}:{settings.grpc_port}"
    file.truncate(0)
    file.write(
        msgspec.json.encode(Holder(os.getpid(), addresses, started_at(os.getpid()))).decode()
    )
    file.flush()
    return file


def started_at(pid: int) -> int:
    """When the kernel started the process, in ticks since it booted; 0 where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])  # the name before it may hold anything


def find_holder(folder: Path) -> Holder | None:
    """Who serves the home in ``folder``; None for nobody."""
    try:
        file = (folder / LOCK).open("r")
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _read(folder)
    return None


def _read(folder: Path) -> Holder | None:
    try:
        return msgspec.json.decode((folder / LOCK).read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None  # it has the lock, and has not written yet
