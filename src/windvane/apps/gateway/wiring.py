"""The gateway's adapters."""

from __future__ import annotations

import os
import socket
import time

from windvane.adapters.clock import open_clock
from windvane.adapters.files import FileArtifacts, FileMetricsBoard, FileRoutingFeed
from windvane.adapters.onnx import OnnxRuntime
from windvane.adapters.shared_memory import SharedLimiter
from windvane.adapters.spool import FileSpoolWriter
from windvane.apps.gateway.access import Gatekeeper
from windvane.apps.gateway.app import Gateway
from windvane.apps.gateway.batcher import NextTickBatcher
from windvane.apps.gateway.bodies import BodyReader
from windvane.apps.gateway.cache import AnswerCache
from windvane.apps.gateway.metrics import Metrics
from windvane.apps.gateway.records import Records
from windvane.apps.gateway.shelf import Shelf
from windvane.apps.gateway.steps import Parts
from windvane.apps.gateway.telling import noting
from windvane.ports.limits import Limiter
from windvane.usecases.read_settings import Settings, find_settings

_BODY_DEADLINE_S = 10.0
WORKER = "WINDVANE_WORKER"  # this worker's number among those of the machine
SHARED_FD = "WINDVANE_SHARED_FD"  # memory that its workers share
LISTEN_FD = "WINDVANE_LISTEN_FD"  # the socket that they all listen on
READY_FD = "WINDVANE_READY_FD"  # where the supervisor waits for word that it accepts


def settings() -> Settings:
    return find_settings(os.environ)


def inherited_fd(variable: str) -> int | None:
    """A descriptor that the supervisor passed on; None for a worker that is alone."""
    given = os.environ.get(variable)
    return int(given) if given else None


def gateway(given: Settings) -> Gateway:
    """One worker, with a spool of its own."""
    worker = int(os.environ.get(WORKER, "0"))
    name = f"{socket.gethostname()}-gateway-{worker}"
    clock = open_clock(given.clock)
    spool = FileSpoolWriter(
        given.spool_root / name, max_bytes=given.spool_max_bytes, first=time.time_ns()
    )
    metrics = Metrics()
    parts = Parts(
        gatekeeper=Gatekeeper(None),
        limiter=_limiter(given, worker),
        batcher=NextTickBatcher(noting(metrics)),
        shelf=Shelf(OnnxRuntime(), FileArtifacts(), given.model_memory_bytes),
        cache=AnswerCache(given.cache_max_bytes),
        shared=None,
        bodies=BodyReader(given.max_body_bytes, _BODY_DEADLINE_S),
        max_rows=given.max_rows,
        max_under_way=given.max_under_way,
        max_deadline_s=given.max_deadline_s,
    )
    return Gateway(
        FileRoutingFeed(given.routing_file),
        parts,
        Records(spool, clock),
        clock,
        metrics,
        board=FileMetricsBoard(given.metrics_folder),
        worker=f"gateway-{worker}",
        sync_every_s=given.sync_every_s,
    )


def _limiter(given: Settings, worker: int) -> Limiter:
    shared = inherited_fd(SHARED_FD)
    # During a restart even a single worker has a successor for a while.
    return SharedLimiter(shared, worker, solo=shared is None)
