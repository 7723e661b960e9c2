"""A tracer that a test can ask."""

from __future__ import annotations

from windvane.core.tracing import read_traceparent
from windvane.ports.tracing import EndedTrace, RequestTrace, Step


class RecordingTracer:
    """Samples all, but for what its client does not; keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[RequestTrace] = []
        self.ended: list[EndedTrace] = []
        self.dropped = 0

    def begin(self, traceparent: bytes, tracestate: bytes, began_ns: int) -> RequestTrace | None:
        parent = read_traceparent(traceparent)
        number = len(self.begun) + 1
        trace = RequestTrace(
            parent.trace_id if parent else number, number, began_ns, parent, tracestate,
            sampled=parent is None or parent.sampled,
        )  # fmt: skip
        self.begun.append(trace)
        return trace

    def end(self, ended: EndedTrace) -> None:
        self.ended.append(ended)

    def take_dropped(self) -> int:
        dropped, self.dropped = self.dropped, 0
        return dropped

    @property
    def last(self) -> EndedTrace:
        return self.ended[-1]

    def steps(self, name: str) -> list[Step]:
        return [step for step in self.last.trace.steps if step.name == name]

    @property
    def names(self) -> list[str]:
        return [step.name for step in self.last.trace.steps]
