"""What the trace of a prediction says of its transport, in the names of OpenTelemetry's semantic
conventions."""

from __future__ import annotations

from windvane.apps.gateway.protocols.base import PredictCall
from windvane.apps.gateway.statuses import status_of
from windvane.inference.engine import Services
from windvane.inference.errors import InternalError, Rejection
from windvane.inference.request import InferenceRequest, InferenceResponse
from windvane.inference.tracing import end_trace
from windvane.ports.tracing import Attribute

_METHOD = "POST"


def end_http_trace(
    services: Services,
    call: PredictCall,
    request: InferenceRequest,
    result: InferenceResponse | Exception | None = None,
) -> None:
    """The request has its answer, ``result``; None: its client went away before."""
    attributes: dict[str, Attribute] = {"http.request.method": _METHOD, "http.route": call.route}
    if result is not None:
        attributes["http.response.status_code"] = _status_of(result)
    _end(services, request, f"{_METHOD} {call.route}", attributes, result)


def end_grpc_trace(
    services: Services,
    service: str,
    method: str,
    request: InferenceRequest,
    result: InferenceResponse | Exception | None,
) -> None:
    """The call has its answer, ``result``; None: its client went away before."""
    attributes: dict[str, Attribute] = {
        "rpc.system": "grpc", "rpc.service": service, "rpc.method": method,
    }  # fmt: skip
    _end(services, request, f"{service}/{method}", attributes, result)


def _end(
    services: Services,
    request: InferenceRequest,
    name: str,
    attributes: dict[str, Attribute],
    result: InferenceResponse | Exception | None,
) -> None:
    if services.tracer is None:
        return
    error = result if isinstance(result, Exception) else None
    if result is None:
        attributes["error.type"] = "aborted"
    elif not isinstance(result, Exception) and result.replayed:
        attributes["windvane.replayed"] = True
    # By the conventions a client's mistake is no failure of the server.
    failed = error is not None and _status_of(error) >= 500
    now_ns = services.monotonic_ns()
    end_trace(services.tracer, request, now_ns, name, attributes, error, failed=failed)


def _status_of(result: InferenceResponse | Exception) -> int:
    if isinstance(result, InferenceResponse):
        return 200
    return status_of(result if isinstance(result, Rejection) else InternalError(""))
