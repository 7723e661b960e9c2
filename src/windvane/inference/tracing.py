"""A request as a trace: what each of its spans says. No feature value and no secret is in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from windvane.core.errors import WindvaneError
from windvane.inference.request import InferenceRequest
from windvane.ports.tracing import Attribute, EndedTrace, RequestTrace, Tracer

_MOST_NAMES = 16


def trace_execution(
    trace: RequestTrace,
    ended_ns: int,
    version: str,
    outputs: Sequence[Any],
    began_ns: int | None = None,
) -> None:
    """The wait for a version's ``outputs`` (a row's exception in its place), the execution
    among it, which other requests may share."""
    failures = [output for output in outputs if isinstance(output, Exception)]
    attributes: dict[str, Attribute] = {"windvane.version": version, "windvane.rows": len(outputs)}
    if failures:
        attributes["windvane.failed_rows"] = len(failures)
        attributes["error.type"] = _type_of(failures[0])
    trace.step("execute", ended_ns, attributes, began_ns=began_ns)


def end_trace(
    tracer: Tracer,
    request: InferenceRequest,
    ended_ns: int,
    name: str,
    by_transport: Mapping[str, Attribute],
    error: Exception | None = None,
    *,
    failed: bool = False,
) -> None:
    """Hand on the trace of a request that has its answer, ``error`` if that is one, with what the
    transport knows. What strangers send leaves no trace: they must not fill the collector, nor
    name things in it."""
    trace, access = request.trace, request.known
    request.trace = None
    if trace is None or access is None or not trace.sampled:
        return
    attributes: dict[str, Attribute] = {
        **by_transport,
        "windvane.request_id": request.id,
        "windvane.model": request.model,
        "windvane.tenant": access.tenant,
        "windvane.rows": len(request.rows),
    }
    if error is not None:
        attributes["error.type"] = _type_of(error)
    elif request.routes:
        routes = request.routes
        attributes["windvane.version"] = _names(route.answered for route in routes)
        attributes["windvane.arm"] = _names(route.arm for route in routes)
        attributes["windvane.flags"] = _names(flag for route in routes for flag in route.flags)
    tracer.end(EndedTrace(trace, ended_ns, name, attributes, failed))


def _type_of(error: Exception) -> str:
    """Its code, where it has one. Never its message, which may hold a value."""
    return error.code if isinstance(error, WindvaneError) else type(error).__name__


def _names(given: Iterable[str]) -> list[str]:
    """Each once, in their order."""
    return list(dict.fromkeys(given))[:_MOST_NAMES]
