"""The gateway's adapters."""

from __future__ import annotations

import os
import socket
import time

from windvane.adapters.clock import open_clock
from windvane.adapters.files import FileRoutingFeed
from windvane.adapters.onnx import OnnxRuntime
from windvane.adapters.spool import FileSpoolWriter
from windvane.apps.gateway.app import Gateway
from windvane.usecases.read_settings import Settings, find_settings


def settings() -> Settings:
    return find_settings(os.environ)


def gateway(given: Settings, worker: int = 0) -> Gateway:
    """One worker with a spool of its own."""
    folder = given.spool_root / f"{socket.gethostname()}-gateway-{worker}"
    return Gateway(
        FileRoutingFeed(given.routing_file),
        OnnxRuntime(),
        FileSpoolWriter(folder, max_bytes=given.spool_max_bytes, first=time.time_ns()),
        open_clock(given.clock),
        max_body_bytes=given.max_body_bytes,
        max_rows=given.max_rows,
        sync_every_s=given.sync_every_s,
    )
