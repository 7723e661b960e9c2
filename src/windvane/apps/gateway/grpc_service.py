"""What is answered over gRPC: the Open Inference Protocol v2, without its transport.

The model's name is in the message, not in the head: a call is authenticated by its metadata
before its message is read, and limited and admitted once the model is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from windvane.apps.gateway.head_values import idempotency_key, printable
from windvane.apps.gateway.protocols.open_inference_grpc import GrpcInferenceCodec, read_message
from windvane.apps.gateway.protocols.open_inference_messages import SERVICE, message_class
from windvane.apps.gateway.protocols.open_inference_tensors import (
    check_version,
    model_metadata,
    server_metadata,
)
from windvane.apps.gateway.rejection_throttle import RejectionThrottle
from windvane.apps.gateway.traces import end_grpc_trace
from windvane.core.routing import Scope
from windvane.inference.engine import Engine
from windvane.inference.errors import BadBody, Overloaded, RateLimited, Rejection, TurnedOff
from windvane.inference.request import InferenceRequest, InferenceResponse
from windvane.inference.snapshot import ServedModel

Metadata = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class GrpcCall:
    """A call as it came: its message, its metadata by name, and for how long its client waits
    (seconds, None for no end)."""

    body: bytes
    metadata: Metadata
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class GrpcAnswer:
    """A message, and the metadata behind it."""

    body: bytes
    trailing: tuple[tuple[str, str], ...] = ()


class GrpcService:
    """One worker's. Each method raises Rejection."""

    def __init__(
        self,
        engine: Engine,
        check_ready: Callable[[], Any],
        throttle: RejectionThrottle | None = None,
    ) -> None:
        """``throttle``: whoever is refused again and again waits for it, over all transports
        that share it."""
        self._engine = engine
        self._check_ready = check_ready
        self._throttle = throttle

    @property
    def methods(self) -> Mapping[str, Callable[[GrpcCall], Awaitable[GrpcAnswer]]]:
        return {
            "ModelInfer": self.infer,
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ServerMetadata": self.server_metadata,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
        }

    async def infer(self, call: GrpcCall) -> GrpcAnswer:
        services, request = self._engine.services, self._request(call)
        if services.tracer is not None:
            traceparent = call.metadata.get("traceparent", b"")
            tracestate = call.metadata.get("tracestate", b"")
            request.trace = services.tracer.begin(traceparent, tracestate, request.began_ns)
        result: InferenceResponse | Exception | None = None
        try:
            result = response = await self._infer(request, call)
        except Exception as error:
            result = error
            raise
        finally:
            if request.trace is not None:
                end_grpc_trace(services, SERVICE, "ModelInfer", request, result)
        replayed = (("idempotency-replayed", "true"),) if response.replayed else ()
        return GrpcAnswer(response.body, replayed)

    async def _infer(self, request: InferenceRequest, call: GrpcCall) -> InferenceResponse:
        engine = self._engine
        try:
            if "idempotency-key" in call.metadata:
                request.idempotency_key = idempotency_key(call.metadata["idempotency-key"])
            engine.authenticate(request, Scope.PREDICT)
            message = read_message(call.body)
        except Exception as error:
            raise engine.failed(request, error) from error
        request.model = message.model_name
        request.codec = GrpcInferenceCodec(message)
        if call.left_s is not None:
            request.timeout_s = max(call.left_s, _SHORTEST_S)
        return await engine.predict(request, call.body)

    async def server_live(self, _: GrpcCall) -> GrpcAnswer:
        return _answer("ServerLiveResponse", {"live": True})

    async def server_ready(self, _: GrpcCall) -> GrpcAnswer:
        return _answer("ServerReadyResponse", {"ready": self.is_ready()})

    async def server_metadata(self, _: GrpcCall) -> GrpcAnswer:
        return _answer("ServerMetadataResponse", server_metadata())

    async def model_ready(self, call: GrpcCall) -> GrpcAnswer:
        model = self._seen("ModelReadyRequest", call)
        return _answer("ModelReadyResponse", {"ready": self.is_ready() and not model.route.off})

    async def model_metadata(self, call: GrpcCall) -> GrpcAnswer:
        fields = model_metadata(self._seen("ModelMetadataRequest", call))
        # The messages have no place for parameters.
        for sort in ("inputs", "outputs"):
            fields[sort] = [
                {name: tensor[name] for name in ("name", "datatype", "shape")}
                for tensor in fields[sort]
            ]
        return _answer("ModelMetadataResponse", fields)

    async def hold_back(self, error: Rejection) -> None:
        """Return when the refusal may leave."""
        if self._throttle is None or not isinstance(error, RateLimited | Overloaded | TurnedOff):
            return
        held_s = self._throttle.hold_s(error.tenant, self._engine.services.monotonic())
        if held_s:
            let_go = asyncio.Event()
            self._throttle.later(held_s, let_go.set)
            await let_go.wait()

    def find_model(self, call: GrpcCall, name: str) -> ServedModel:
        """Raises NoSuchModel unless the caller may see it, and what a bad key is told."""
        return self._engine.authenticate_reader(self._request(call)).access(name).model

    def is_ready(self) -> bool:
        try:
            self._check_ready()
        except Rejection:
            return False
        return True

    def _seen(self, kind: str, call: GrpcCall) -> ServedModel:
        """The model that is asked about, for who may ask it or read about it."""
        request = self._request(call)
        try:
            principal = self._engine.authenticate_reader(request)
            try:
                message = message_class(kind).FromString(call.body)
            except DecodeError as error:
                raise BadBody(f"the body is no inference.{kind}", hint="") from error
            request.model = message.name
            model = principal.access(message.name).model
            check_version(model, message.version)
        except Exception as error:
            raise self._engine.failed(request, error) from error
        return model

    def _request(self, call: GrpcCall) -> InferenceRequest:
        services = self._engine.services
        return InferenceRequest(
            services.new_id(),
            "",
            call.metadata.get("authorization", b""),
            _NO_CODEC,
            services.monotonic_ns(),
            client_id=printable(call.metadata.get("x-request-id", b"")),
        )


_SHORTEST_S = 0.001
_NO_CODEC = GrpcInferenceCodec(message_class("ModelInferRequest")())


def _answer(kind: str, fields: Mapping[str, Any]) -> GrpcAnswer:
    return GrpcAnswer(message_class(kind)(**fields).SerializeToString())
