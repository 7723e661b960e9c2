"""The gateway's adapters."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from windvane.adapters import logs
from windvane.adapters.clock import open_clock
from windvane.adapters.files import (
    FileArtifacts,
    FileCertificate,
    FileMetricsBoard,
    FileRoutingFeed,
)
from windvane.adapters.onnx import OnnxRuntime
from windvane.adapters.shared_memory import SharedLimiter
from windvane.adapters.spool import FileSpoolWriter
from windvane.adapters.sqlite import SqliteIdempotency
from windvane.apps.gateway.bound_model import BoundModel
from windvane.apps.gateway.file_limit import GRPC_FILES, Share, share_of_this_process
from windvane.apps.gateway.grpc_front import FrontBounds
from windvane.apps.gateway.http_protocol import Bounds
from windvane.apps.gateway.http_server import AlsoListen, HttpConfig, Transport
from windvane.apps.gateway.worker import GatewayWorker, Remote
from windvane.core.execution import SANDBOXED, RuntimeName
from windvane.inference.access import Authenticator
from windvane.inference.batching import NextTickBatcher
from windvane.inference.cache import AnswerCache
from windvane.inference.elsewhere import ElsewhereRuntime
from windvane.inference.engine import Services
from windvane.inference.events import EventWriter
from windvane.inference.idempotency import Idempotency
from windvane.inference.instrumentation import Instrumentation
from windvane.inference.low_priority_queue import LowPriorityQueue
from windvane.inference.metrics import Metrics
from windvane.inference.model_cache import ModelCache
from windvane.ports.certificate import Certificate
from windvane.ports.idempotency import IdempotencyStore
from windvane.ports.identity import TokenVerifier
from windvane.ports.limits import Limiter
from windvane.ports.runtime import Runtime
from windvane.ports.shared_cache import SharedCache
from windvane.ports.spool import SpoolWriter
from windvane.ports.tracing import Tracer
from windvane.usecases.load_version import Runtimes
from windvane.usecases.read_settings import (
    LISTEN_FD_VARIABLE,
    PREDECESSOR_VARIABLE,
    READY_FD_VARIABLE,
    SHARED_FD_VARIABLE,
    WORKER_VARIABLE,
    MissingExtra,
    Settings,
    find_settings,
    read_secret,
)

_LEASE_SLACK_S = 30.0
_TABLE_WITHIN_S = 20.0  # a steward mends the file within seconds; `windvane restart` waits 60 s


def settings() -> Settings:
    return find_settings(os.environ)


def inherited_fd(variable: str) -> int | None:
    """A descriptor that the supervisor passed on; None for a worker that is alone."""
    given = os.environ.get(variable)
    return int(given) if given else None


def start_logging(given: Settings) -> None:
    number = os.environ.get(WORKER_VARIABLE, "0")
    logs.start_logging(f"gateway-{number}", given.log_format, given.secrets)


def certificate(given: Settings) -> Certificate | None:
    """What all that listens shows. Raises BadCertificate."""
    return FileCertificate.of(given.certificate)


def file_share(given: Settings) -> Share:
    """What the process may open of the connections that all ports together would take."""
    needed = Bounds().connections * (1 + len(given.invocations))
    if given.grpc_port is not None:
        needed += FrontBounds().connections * GRPC_FILES
    return share_of_this_process(needed)


def http_config(
    given: Settings, worker: GatewayWorker, tls: Certificate | None, share: Share
) -> HttpConfig:
    """Where this worker listens. Raises BadSettings for a key that is not where it should be."""
    return HttpConfig(
        given.host,
        given.port,
        listen_fd=inherited_fd(LISTEN_FD_VARIABLE),
        ready_fd=inherited_fd(READY_FD_VARIABLE),
        drain_s=given.drain_s,
        bounds=share.http(Bounds()),
        tls=tls,
        also=[
            AlsoListen(
                one.port,
                BoundModel(worker.app, one.model, read_secret(one.key, os.environ, given.folder)),
            )
            for one in given.invocations
        ],
    )


def other_transports(
    given: Settings, worker: GatewayWorker, tls: Certificate | None, share: Share
) -> list[Transport]:
    """What this worker listens to beside HTTP. Raises MissingExtra."""
    if given.grpc_port is None:
        return []
    try:
        from windvane.apps.gateway.grpc_server import GrpcConfig, GrpcServer
        from windvane.apps.gateway.grpc_service import GrpcService
    except ImportError as error:
        raise MissingExtra("grpc_port is set, and grpcio is not installed") from error
    config = GrpcConfig(
        given.host,
        given.grpc_port,
        max_body_bytes=given.max_body_bytes,
        drain_s=given.drain_s,
        tls=tls,
        bounds=share.grpc(FrontBounds()),
    )
    service = GrpcService(worker.engine, worker.app.check_ready, worker.app.throttle)
    return [GrpcServer(service, config)]


def gateway(given: Settings) -> GatewayWorker:
    """One worker, with a spool of its own."""
    worker = int(os.environ.get(WORKER_VARIABLE, "0"))
    name = f"{socket.gethostname()}-gateway-{worker}"
    clock = open_clock(given.clock)
    spool = FileSpoolWriter(
        given.spool_root / name, max_bytes=given.spool_max_bytes, first=time.time_ns()
    )
    predecessor = os.environ.get(PREDECESSOR_VARIABLE, "")
    limiter, shared, kept, remotes = _shared(given, worker)
    verifier = _verifier(given)
    tracer, exporting = _tracer(given, name)
    instrumentation = Instrumentation(Metrics())
    low_priority = LowPriorityQueue()
    services = Services(
        authenticator=Authenticator(verifier),
        limiter=limiter,
        batcher=NextTickBatcher(instrumentation.executed, low_priority=low_priority),
        models=ModelCache(runtimes(given), FileArtifacts(), given.model_memory_bytes),
        cache=AnswerCache(given.cache_max_bytes),
        shared=shared,
        events=EventWriter(spool, clock),
        instrumentation=instrumentation,
        clock=clock,
        max_rows=given.max_rows,
        max_body_bytes=given.max_body_bytes,
        max_under_way=given.max_under_way,
        max_deadline_s=given.max_deadline_s,
        idempotency=Idempotency(kept, given.idempotency_ttl_s),
        tracer=tracer,
    )
    return GatewayWorker(
        FileRoutingFeed(given.routing_file),
        services,
        board=FileMetricsBoard(given.metrics_folder),
        verifier=verifier,
        remotes=[*remotes, *exporting],
        worker=f"gateway-{worker}",
        sync_every_s=given.sync_every_s,
        low_priority=low_priority,
        events_max_age_s=given.events_max_age_s,
        table_within_s=_TABLE_WITHIN_S if predecessor else None,
        predecessor=predecessor,
    )


def services_alone(
    given: Settings, runtime: Runtime, folder: Path, wrap: Callable[[SpoolWriter], SpoolWriter]
) -> Services:
    """What an engine needs that shares nothing with anybody: its spool lies in ``folder``."""
    clock = open_clock(given.clock)
    instrumentation = Instrumentation(Metrics())
    return Services(
        authenticator=Authenticator(None),
        limiter=SharedLimiter(None, 0, solo=True),
        batcher=NextTickBatcher(instrumentation.executed),
        models=ModelCache(runtime, FileArtifacts(), given.model_memory_bytes),
        cache=AnswerCache(0),
        shared=None,
        events=EventWriter(wrap(FileSpoolWriter(folder / "spool")), clock),
        instrumentation=instrumentation,
        clock=clock,
        max_rows=given.max_rows,
        max_body_bytes=given.max_body_bytes,
        max_under_way=given.max_under_way,
        max_deadline_s=given.max_deadline_s,
    )


def artifacts() -> FileArtifacts:
    return FileArtifacts()


def runtimes(given: Settings, threads: int = 1) -> Runtimes:
    """Each is imported when the first version needs it: most gateways never load XGBoost. A
    worker has ``threads`` = 1, for its loop is the scheduler."""

    def onnx() -> Runtime:
        return OnnxRuntime(threads)

    def xgboost() -> Runtime:
        from windvane.adapters.xgboost import XgboostRuntime

        return XgboostRuntime(threads)

    def lightgbm() -> Runtime:
        from windvane.adapters.lightgbm import LightgbmRuntime

        return LightgbmRuntime(threads)

    def open_inference() -> Runtime:
        from windvane.adapters.open_inference import OpenInferenceRuntime

        secret = partial(read_secret, environ=os.environ, folder=given.folder)
        return OpenInferenceRuntime(secret, given.remote_authorities)

    @cache
    def apart() -> Runtime:
        from windvane.adapters.pip import PipEnvironments
        from windvane.adapters.sandbox import Limits, SandboxRuntime

        return SandboxRuntime(
            Limits.of(given),
            given.folder / "logs",
            given.log_format,
            PipEnvironments(given.environments),
        )

    return Runtimes(
        {
            RuntimeName.ONNX: onnx,
            RuntimeName.XGBOOST: xgboost,
            RuntimeName.LIGHTGBM: lightgbm,
            RuntimeName.OPEN_INFERENCE: open_inference,
            RuntimeName.ELSEWHERE: ElsewhereRuntime,
            **dict.fromkeys(SANDBOXED, apart),
        }
    )


def _shared(
    given: Settings, worker: int
) -> tuple[Limiter, SharedCache | None, IdempotencyStore, list[Remote]]:
    """What this worker shares with others: of the machine, and with `redis` of all machines."""
    memory = inherited_fd(SHARED_FD_VARIABLE)
    # During a restart even a single worker has a successor for a while, so it takes the locks.
    local = SharedLimiter(memory, worker, solo=memory is None)
    if not given.redis:
        kept = SqliteIdempotency(given.folder / "idempotency.db")
        return local, None, kept, [kept]
    from windvane.adapters.redis import RedisCache, RedisIdempotency, RedisLimiter

    lease_s = given.max_deadline_s + _LEASE_SLACK_S
    limiter, held = RedisLimiter(given.redis, local, lease_s=lease_s), RedisCache(given.redis)
    once = RedisIdempotency(given.redis)
    return limiter, held, once, [limiter, held, once]


def _verifier(given: Settings) -> TokenVerifier | None:
    if given.oidc is None:
        return None
    from windvane.adapters.jwt import JwtVerifier

    return JwtVerifier(
        issuer=given.oidc.issuer,
        audience=given.oidc.audience,
        jwks=given.oidc.jwks,
        tenant_claim=given.oidc.tenant_claim,
        scopes_claim=given.oidc.scopes_claim,
    )


def _tracer(given: Settings, instance: str) -> tuple[Tracer | None, list[Remote]]:
    """Raises MissingExtra."""
    if given.tracing is None:
        return None, []
    try:
        from windvane.adapters.opentelemetry import OtlpTracer
    except ImportError as error:
        message = f"tracing is set, and {error.name} is not installed"
        raise MissingExtra(message, hint="pip install 'windvane[otel]'") from error
    tracing = given.tracing
    tracer = OtlpTracer(tracing.endpoint, tracing.headers, tracing.ratio, instance)
    return tracer, [tracer]
