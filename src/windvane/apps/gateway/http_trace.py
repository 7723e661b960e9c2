"""What the trace of a prediction says of HTTP."""

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
    """The request has its answer, ``result``; None: its body never came whole.

    Names of attributes are those of OpenTelemetry's semantic conventions for HTTP servers, by
    which a status below 500 is no failure of the server.
    """
    if services.tracer is None:
        return
    said: dict[str, Attribute] = {"http.request.method": _METHOD, "http.route": call.route}
    error: Exception | None = None
    status = 200
    if result is None:
        said["error.type"] = "aborted"
    else:
        if isinstance(result, Exception):
            error = result if isinstance(result, Rejection) else InternalError("")
            status = status_of(error)
        elif result.replayed:
            said["windvane.replayed"] = True
        said["http.response.status_code"] = status
    name, now_ns = f"{_METHOD} {call.route}", services.monotonic_ns()
    end_trace(services.tracer, request, now_ns, name, said, error, failed=status >= 500)
