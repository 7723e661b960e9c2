"""Of which trace a request is a part, as its headers say it."""

from windvane.core.tracing.context import (
    MAX_TRACESTATE,
    TraceContext,
    read_traceparent,
    read_tracestate,
    write_traceparent,
)

__all__ = [
    "MAX_TRACESTATE",
    "TraceContext",
    "read_traceparent",
    "read_tracestate",
    "write_traceparent",
]
