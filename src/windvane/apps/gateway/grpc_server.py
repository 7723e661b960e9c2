"""One worker's gRPC server: its bounds, its statuses, and how it leaves."""

from __future__ import annotations

import logging
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from windvane.apps.gateway.answers import rejection_text
from windvane.apps.gateway.grpc_front import FrontBounds, GrpcFront
from windvane.apps.gateway.grpc_health import HEALTH, HealthService
from windvane.apps.gateway.grpc_service import GrpcAnswer, GrpcCall, GrpcService, Metadata
from windvane.apps.gateway.protocols.open_inference_messages import SERVICE
from windvane.apps.gateway.statuses import status_of
from windvane.inference.errors import InternalError, Rejection
from windvane.inference.failures import describe, frames_of
from windvane.ports.certificate import Certificate

_log = logging.getLogger(__name__)
_HEAD_BYTES = 16_384
_STREAMS = 100  # calls at one time on a connection
_LONGEST_MS = 3_600_000
_GRACE_MS = 30_000

CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""By the status that the same error has over HTTP."""

Context = Any  # grpc.aio.ServicerContext, which has no type parameters at run time


@dataclass(frozen=True, slots=True)
class GrpcConfig:
    """Where to listen; workers share the port by SO_REUSEPORT. A message has at most
    ``max_body_bytes``; the engine bounds how many are answered at one time."""

    host: str
    port: int
    max_body_bytes: int
    drain_s: float = 5.0
    tls: Certificate | None = None
    bounds: FrontBounds = field(default_factory=FrontBounds)


class GrpcServer:
    """One worker's, in the running loop, from ``start`` to ``stop``."""

    def __init__(self, service: GrpcService, config: GrpcConfig) -> None:
        self._service = service
        self.health = HealthService(service)
        self._config = config
        self._server: grpc.aio.Server | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.front: GrpcFront | None = None
        self.port = config.port

    async def start(self) -> None:
        """Raises OSError for a port that is taken."""
        config = self._config
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        listener = socket.create_server((config.host, config.port), family=family, reuse_port=True)
        self.port = listener.getsockname()[1]
        self._folder = tempfile.TemporaryDirectory(prefix="windvane-grpc-")
        inner = f"{self._folder.name}/socket"
        server = grpc.aio.server(options=_options(config))
        hold_back = self._service.hold_back
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(_handler(work, hold_back))
            for name, work in self._service.methods.items()
        }
        health = {
            "Check": grpc.unary_unary_rpc_method_handler(_handler(self.health.check, hold_back)),
            "Watch": grpc.unary_stream_rpc_method_handler(_streamer(self.health.watch)),
        }
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(SERVICE, handlers),
                grpc.method_handlers_generic_handler(HEALTH, health),
            )
        )
        server.add_insecure_port(f"unix:{inner}")
        await server.start()
        self._server = server
        bounds = config.bounds.for_messages(config.max_body_bytes)
        self.front = GrpcFront(listener, inner, config.tls, bounds)
        self.front.start()

    async def stop(self) -> None:
        """Accept nothing more; calls under way have ``drain_s``."""
        self.health.stop()
        if self.front is not None:
            await self.front.stop_accepting()
        if self._server is not None:
            await self._server.stop(self._config.drain_s)
        if self.front is not None:
            await self.front.close()
        if self._folder is not None:
            self._folder.cleanup()


def _handler(
    work: Callable[[GrpcCall], Awaitable[GrpcAnswer]],
    hold_back: Callable[[Rejection], Awaitable[None]],
) -> Callable[[bytes, Any], Any]:
    """What fails ends the call with the status of its error. Bodies stay bytes up to here, so
    that a stranger's is not read."""

    async def handle(body: bytes, context: Context) -> bytes:
        try:
            answer = await work(GrpcCall(body, _metadata(context), context.time_remaining()))
        except Exception as error:
            rejection = _rejection(error)
            await hold_back(rejection)
            await _abort(context, rejection)
            raise AssertionError("abort raises") from None
        if answer.trailing:
            context.set_trailing_metadata(answer.trailing)
        return answer.body

    return handle


def _streamer(work: Callable[[GrpcCall], AsyncIterator[bytes]]) -> Callable[[bytes, Any], Any]:
    """The same of a call that is answered again and again."""

    async def handle(body: bytes, context: Context) -> AsyncIterator[bytes]:
        try:
            async for part in work(GrpcCall(body, _metadata(context))):
                yield part
        except Exception as error:
            await _abort(context, _rejection(error))

    return handle


def _rejection(error: Exception) -> Rejection:
    if isinstance(error, Rejection):
        return error
    _log.error("a call failed: %s\n%s", describe(error), frames_of(error))
    return InternalError("the gateway failed")


async def _abort(context: Context, error: Rejection) -> None:
    trailing = [("windvane-code", error.code)]
    if error.retry_after_s > 0.0:
        # Source: gRPC A6, client retries: when a retry is welcome.
        trailing.append(("grpc-retry-pushback-ms", str(int(error.retry_after_s * 1_000))))
    code = CODES.get(status_of(error), grpc.StatusCode.INTERNAL)
    await context.abort(code, rejection_text(error), tuple(trailing))


def _metadata(context: Context) -> Metadata:
    """The first value of each name."""
    found: dict[str, bytes] = {}
    given: Sequence[tuple[str, str | bytes]] = context.invocation_metadata() or ()
    for name, value in given:
        found.setdefault(name, value if isinstance(value, bytes) else value.encode("latin-1"))
    return found


def _options(config: GrpcConfig) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", config.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", _HEAD_BYTES),
        ("grpc.absolute_max_metadata_size", _HEAD_BYTES),
        ("grpc.max_concurrent_streams", _STREAMS),
        ("grpc.max_connection_age_ms", _LONGEST_MS),
        ("grpc.max_connection_age_grace_ms", _GRACE_MS),
    ]
