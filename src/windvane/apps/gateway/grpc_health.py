"""The health service that load balancers and clients of gRPC ask.

Source: gRPC Health Checking Protocol, `grpc/health/v1/health.proto`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from google.protobuf.message import DecodeError

from windvane.apps.gateway.grpc_service import GrpcAnswer, GrpcCall, GrpcService
from windvane.apps.gateway.protocols.open_inference_messages import SERVICE, message_class
from windvane.inference.errors import BadBody, NoSuchModel

HEALTH = "grpc.health.v1.Health"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
_OWN = frozenset({"", SERVICE, HEALTH})


class HealthService:
    """The gateway's, and that of each model under its name, for who may ask that model. ``most``
    watches may be open at one time; the oldest ends, with what it said last, for one that comes
    when there is no room: nobody can keep load balancers out by holding them all. Each looks every
    ``look_s`` and says again what it said
    after ``repeat_s``, so that its connection is not a silent one."""

    def __init__(
        self, service: GrpcService, most: int = 256, look_s: float = 1.0, repeat_s: float = 60.0
    ) -> None:
        self._service = service
        self._most = most
        self._look_s = look_s
        self._repeat = round(repeat_s / look_s)
        self._stopping = asyncio.Event()
        self._open: dict[asyncio.Event, None] = {}  # oldest first

    @property
    def watches(self) -> int:
        return len(self._open)

    def stop(self) -> None:
        """Tell all watches that this worker serves no more, and end them."""
        self._stopping.set()
        for over in self._open:
            over.set()

    async def check(self, call: GrpcCall) -> GrpcAnswer:
        """Raises Rejection, also for a service that is not known."""
        name = _asked(call)
        if name not in _OWN and self._service.find_model(call, name).route.off:
            return GrpcAnswer(_response(NOT_SERVING))
        return GrpcAnswer(_response(self._now()))

    async def watch(self, call: GrpcCall) -> AsyncIterator[bytes]:
        """Its status now, and whenever it is another. Raises Rejection."""
        name = _asked(call)
        if self.watches >= self._most:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.set()
        over = asyncio.Event()
        self._open[over] = None
        if self._stopping.is_set():
            over.set()
        try:
            last, silent = -1, 0
            while True:
                ends = over.is_set()  # or it may be set while the status is told
                status, silent = self._status(call, name), silent + 1
                if status != last or silent >= self._repeat:
                    yield _response(status)
                    last, silent = status, 0
                if ends:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._look_s):
                        await over.wait()
        finally:
            self._open.pop(over, None)

    def _status(self, call: GrpcCall, name: str) -> int:
        if name not in _OWN:
            try:
                model = self._service.find_model(call, name)
            except NoSuchModel:
                return SERVICE_UNKNOWN
            if model.route.off:
                return NOT_SERVING
        return self._now()

    def _now(self) -> int:
        ready = self._service.is_ready() and not self._stopping.is_set()
        return SERVING if ready else NOT_SERVING


def _asked(call: GrpcCall) -> str:
    """The name in a HealthCheckRequest: its first field, as that of a ModelReadyRequest."""
    try:
        return message_class("ModelReadyRequest").FromString(call.body).name
    except DecodeError as error:
        raise BadBody("the body is no grpc.health.v1.HealthCheckRequest", hint="") from error


def _response(status: int) -> bytes:
    """A HealthCheckResponse: an enumeration in its first field."""
    return bytes([0x08, status])
