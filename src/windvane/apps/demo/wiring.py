"""The demo's adapters: it drives the clock and reads what the processes recorded."""

from __future__ import annotations

import socket
from pathlib import Path

from windvane.adapters.argon2 import Argon2Hasher
from windvane.adapters.clock import DrivenClock
from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.sql import SqlControlStore
from windvane.ports.control_store import ControlStore
from windvane.ports.event_log import EventLog
from windvane.ports.passwords import PasswordHasher
from windvane.usecases.read_settings import FILE, Settings, find_settings


def make_home(folder: Path, start: float) -> tuple[Settings, DrivenClock]:
    """A fresh home on free ports, whose processes follow a clock that the demo drives."""
    folder.mkdir(parents=True, exist_ok=True)
    clock = DrivenClock(folder / "clock", start)
    port, console_port = _free_ports(2)
    (folder / FILE).write_text(
        f"port: {port}\nconsole_port: {console_port}\nclock: {(folder / 'clock').resolve()}\n"
        "recorder_every_s: 0.03\nsteward_every_s: 0.03\nlog_commit_every_s: 2.0\n"
    )
    return find_settings({}, folder), clock


def store(given: Settings) -> ControlStore:
    opened = SqlControlStore(given.store_url)
    opened.migrate()
    return opened


def hasher() -> PasswordHasher:
    return Argon2Hasher()


def event_log(given: Settings) -> EventLog:
    return DeltaEventLog(given.log_root)


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports
