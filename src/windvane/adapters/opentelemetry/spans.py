"""Ended traces as spans of OpenTelemetry's SDK, with the ids and times that they had."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

import windvane
from windvane.ports.tracing import EndedTrace, RequestTrace

_PREFIX = "windvane."
_LONGEST_TEXT = 256


class SpanMaker:
    """Used by one thread. ``instance`` says which gateway worker it is."""

    def __init__(
        self,
        instance: str,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._ids = _GivenIds()
        self._ended = _Ended()
        provider = TracerProvider(
            sampler=ALWAYS_ON,  # what comes here was sampled
            resource=Resource.create(
                {
                    "service.name": "windvane-gateway",
                    "service.version": windvane.__version__,
                    "service.instance.id": instance,
                }
            ),
            shutdown_on_exit=False,
            id_generator=self._ids,
            span_limits=SpanLimits(max_span_attribute_length=_LONGEST_TEXT),
        )
        provider.add_span_processor(self._ended)
        self._tracer = provider.get_tracer("windvane", windvane.__version__)

    def spans(self, traces: Iterable[EndedTrace]) -> list[ReadableSpan]:
        """One span a request, and below it one for each of its steps."""
        # The two clocks part slowly, and the wall's is set now and then.
        ahead_ns = self._wall_ns() - self._monotonic_ns()
        for one in traces:
            self._make(one, ahead_ns)
        return self._ended.take()

    def _make(self, one: EndedTrace, ahead_ns: int) -> None:
        trace = one.trace
        self._ids.next_trace_id, self._ids.next_span_id = trace.trace_id, trace.span_id
        request = self._tracer.start_span(
            one.name,
            _above(trace),
            SpanKind.SERVER,
            one.attributes,
            start_time=trace.began_ns + ahead_ns,
        )
        if one.failed:
            request.set_status(StatusCode.ERROR)
        below = set_span_in_context(request, Context())
        for step in trace.steps:
            self._tracer.start_span(
                _PREFIX + step.name,
                below,
                attributes=step.attributes,
                start_time=step.began_ns + ahead_ns,
            ).end(step.ended_ns + ahead_ns)
        request.end(one.ended_ns + ahead_ns)


class _GivenIds(IdGenerator):
    """A request's ids were given out when it began; its steps get theirs now."""

    def __init__(self) -> None:
        self.next_trace_id = 0
        self.next_span_id = 0
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        return self.next_trace_id

    def generate_span_id(self) -> int:
        given, self.next_span_id = self.next_span_id, 0
        return given or self._random.generate_span_id()


class _Ended(SpanProcessor):
    """Keeps spans until they are taken."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.append(span)

    def take(self) -> list[ReadableSpan]:
        spans, self._spans = self._spans, []
        return spans


def _above(trace: RequestTrace) -> Context:
    """The client's span, if there is one."""
    parent, state = trace.parent, trace.tracestate()
    if parent is None:
        return Context()
    named = SpanContext(
        parent.trace_id,
        parent.span_id,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([state]) if state else None,
    )
    return set_span_in_context(NonRecordingSpan(named), Context())
