"""The recorder's adapters."""

from __future__ import annotations

import os
import socket

from windvane.adapters import logs
from windvane.adapters.clock import open_clock
from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.spool import FileSpoolReader
from windvane.adapters.sql import SqlControlStore
from windvane.ports.clock import Clock
from windvane.usecases.commit_log import CommitPolicy
from windvane.usecases.read_settings import Settings, find_settings
from windvane.usecases.record_events import Recorder

_MOST_SPOOL_BYTES = 128 << 20


def settings() -> Settings:
    return find_settings(os.environ)


def start_logging(given: Settings) -> None:
    logs.start_logging("recorder", given.log_format, given.secrets)


def clock(given: Settings) -> Clock:
    return open_clock(given.clock)


def recorder(given: Settings) -> Recorder:
    return Recorder(
        socket.gethostname(),
        SqlControlStore(given.store_url),
        DeltaEventLog(given.log_root, given.log_storage),
        FileSpoolReader(given.spool_root),
        clock(given),
        CommitPolicy(
            given.log_commit_every_s,
            given.log_commit_bytes,
            # What waits for the log keeps its segments: most of the bound is for new events.
            min(_MOST_SPOOL_BYTES, given.spool_max_bytes // 8),
        ),
    )
