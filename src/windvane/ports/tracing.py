"""How it gets out where the time of a single request went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import NamedTuple, Protocol

from windvane.core.tracing import TraceContext, read_tracestate, write_traceparent

Attribute = str | bool | int | float | Sequence[str]
_MOST_STEPS = 64
_NONE: Mapping[str, Attribute] = {}


class Step(NamedTuple):
    """One step of a request's way, in nanoseconds of the engine's monotonic clock."""

    name: str
    began_ns: int
    ended_ns: int
    attributes: Mapping[str, Attribute]


class RequestTrace:
    """One request in its trace: the ids of its own span, the ``parent`` that its client named,
    with the header ``tracestate`` as it came, and the ``steps`` that it took since ``began_ns``,
    the first 64 of them.

    Neither a feature's value nor a secret may be in an attribute. One that is not ``sampled``
    is there for the calls that the request makes, and is not shown.
    """

    __slots__ = (
        "_tracestate", "at_ns", "began_ns", "parent", "sampled", "span_id", "steps", "trace_id",
    )  # fmt: skip

    def __init__(
        self,
        trace_id: int,
        span_id: int,
        began_ns: int,
        parent: TraceContext | None = None,
        tracestate: bytes = b"",
        *,
        sampled: bool = True,
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent = parent
        self._tracestate = tracestate
        self.sampled = sampled
        self.began_ns = self.at_ns = began_ns
        self.steps: list[Step] = []

    @property
    def id(self) -> str:
        """The trace's, as other tools show it."""
        return f"{self.trace_id:032x}"

    def step(
        self,
        name: str,
        ended_ns: int,
        attributes: Mapping[str, Attribute] = _NONE,
        *,
        began_ns: int | None = None,
    ) -> None:
        """A step has ended. It began where the one before it ended, if nothing else is said."""
        if self.sampled and len(self.steps) < _MOST_STEPS:
            began_ns = self.at_ns if began_ns is None else began_ns
            self.steps.append(Step(name, began_ns, ended_ns, attributes))
        self.at_ns = ended_ns

    def traceparent(self) -> bytes:
        """The header for a call that is made for this request: its span is the parent."""
        return write_traceparent(self.trace_id, self.span_id, self.sampled)

    def tracestate(self) -> str:
        """The header that goes with it; "" where there is none to send. It is read only now:
        most requests make no call, and who sent it was a stranger when it came."""
        return read_tracestate(self._tracestate)


CALLING: ContextVar[RequestTrace | None] = ContextVar("calling", default=None)
"""The trace that a call to another server is made for, in the task that makes it."""


class EndedTrace(NamedTuple):
    """What a transport says of a request that has its answer: the ``name`` and ``attributes`` of
    its span. ``failed``: the fault was the server's."""

    trace: RequestTrace
    ended_ns: int
    name: str
    attributes: Mapping[str, Attribute]
    failed: bool


class Tracer(Protocol):
    """Shows some requests as traces. Neither call raises or waits, whatever is the matter with
    whoever takes the traces."""

    def begin(self, traceparent: bytes, tracestate: bytes, began_ns: int) -> RequestTrace | None:
        """Whether the request is traced; the headers as they came, ``b""`` for none. A trace that
        the client began is gone on with, sampled if its client's span is. None: this request
        would begin a trace and is not sampled."""
        ...

    def end(self, ended: EndedTrace) -> None:
        """The request has its answer. Nothing is written to its trace any more."""
        ...

    def take_dropped(self) -> int:
        """How many sampled traces could not be handed on, since this was asked last."""
        ...
