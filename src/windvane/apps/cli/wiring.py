"""The command line's adapters."""

from __future__ import annotations

import os
from pathlib import Path

from windvane.adapters.clock import open_clock
from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.files import FileRoutingFeed
from windvane.adapters.sql import SqlControlStore
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.ports.event_log import EventLog
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.read_settings import Settings, find_settings


def settings(home: Path | None) -> Settings:
    return find_settings(os.environ, home)


def store(given: Settings) -> ControlStore:
    """The control store, migrated: every command may be a home's first."""
    opened = SqlControlStore(given.store_url)
    opened.migrate()
    return opened


def clock(given: Settings) -> Clock:
    return open_clock(given.clock)


def event_log(given: Settings) -> EventLog:
    return DeltaEventLog(given.log_root, given.log_storage)


def routing_feed(given: Settings) -> RoutingFeed:
    return FileRoutingFeed(given.routing_file)
