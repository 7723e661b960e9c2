"""A request on its way, and the response that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from windvane.core.admission import FREE, RateLimitDecision

if TYPE_CHECKING:
    from windvane.core.task import OutputRow
    from windvane.inference.access import ModelAccess, Principal
    from windvane.inference.explaining import Explained
    from windvane.inference.snapshot import ServedModel
    from windvane.ports.tracing import RequestTrace


class Inputs(NamedTuple):
    """Decoded and validated rows: their values in the contract's order, and the unit of each
    ("" where the client named none); whether the answers are to be explained."""

    rows: list[tuple[Any, ...]]
    units: list[str]
    explain: bool = False


class Codec(Protocol):
    """A wire format: bytes to rows, and a response back to bytes. Thin: what holds for every
    format is in `inference/validation.py`."""

    name: str
    content_type: bytes

    def decode(self, body: bytes, model: ServedModel, max_rows: int) -> Inputs:
        """The rows, decoded and checked. Raises BadBody, BodyTooLarge, SchemaViolation."""
        ...

    def encode(self, response: InferenceResponse) -> bytes: ...


class Route(NamedTuple):
    """Which version a row was ``routed`` to and which ``answered`` ("" for a rule or constant),
    on which ``arm``; ``flags`` name what was odd."""

    routed: str
    answered: str
    arm: str
    flags: tuple[str, ...] = ()


class InferenceRequest:
    """One request since ``began_ns`` (of the engine's monotonic clock).

    A transport fills in what it knows early (the head); the engine the rest, step by step.
    ``id`` is ours and is the event's; ``client_id`` is what the client calls its request.
    ``timeout_s`` is the client's, None for the model's own. ``deadline`` is when its client has to
    have the answer, ``owed_at`` when the model's own deadline passes (both of the same clock, in
    seconds): a version owes nobody an answer before that. ``body`` is kept for samples of
    rejected requests. ``explanations``, where they are asked for, has one for each row; None for
    a row that another request answered. ``trace`` is there for the few requests that are traced:
    each step says there when it has ended.
    """

    __slots__ = (
        "access", "began_ns", "body", "client_id", "codec", "credential", "deadline", "decision",
        "explain", "explanations", "id", "idempotency_key", "latency_us", "model", "outputs",
        "owed_at", "principal", "routes", "rows", "timeout_s", "trace", "units",
    )  # fmt: skip
    principal: Principal
    access: ModelAccess

    def __init__(
        self,
        event_id: str,
        model: str,
        credential: bytes,
        codec: Codec,
        began_ns: int,
        timeout_s: float | None = None,
        client_id: str = "",
        idempotency_key: str = "",
    ) -> None:
        self.id = event_id
        self.model = model
        self.credential = credential
        self.codec = codec
        self.began_ns = began_ns
        self.timeout_s = timeout_s
        self.client_id = client_id
        self.idempotency_key = idempotency_key
        self.decision: RateLimitDecision = FREE
        self.deadline = self.owed_at = 0.0
        self.latency_us = 0
        self.body = b""
        self.rows: list[tuple[Any, ...]] = []
        self.units: list[str] = []
        self.routes: list[Route] = []
        self.outputs: list[OutputRow] = []
        self.explain = False
        self.explanations: list[Explained | None] = []
        self.trace: RequestTrace | None = None

    @property
    def known(self) -> ModelAccess | None:
        """The access, if the request got as far as to have one."""
        return getattr(self, "access", None)

    def owes(self, failure: Exception) -> bool:
        """Whether a version that failed so owed this request an answer: not, if its client allows
        less time than the model's own deadline, and that was all that ran out."""
        return not isinstance(failure, TimeoutError) or self.deadline >= self.owed_at

    @property
    def named(self) -> dict[str, str]:
        """What every log line about the request has beside its message."""
        if self.trace is None:
            return {"request_id": self.id}
        return {"request_id": self.id, "trace_id": self.trace.id}


class InferenceResponse:
    """Answered rows: one route and one row of outputs each, in the request's order.

    ``body`` is the response as the request's codec wrote it. ``replayed``: it was given before,
    for the same idempotency key; then it has no rows of its own. ``explanations``: one a row, or
    none where they were not asked for.
    """

    __slots__ = ("body", "content_type", "decision", "explanations", "id", "model", "outputs",
                 "replayed", "routes", "served")  # fmt: skip

    def __init__(
        self, request: InferenceRequest, body: bytes = b"", *, replayed: bool = False
    ) -> None:
        self.id = request.id
        self.model = request.model
        self.served: ServedModel = request.access.model
        self.routes: Sequence[Route] = request.routes
        self.outputs: Sequence[OutputRow] = request.outputs
        self.explanations: Sequence[Explained] = ()
        self.decision = request.decision
        self.content_type = request.codec.content_type
        self.body = body
        self.replayed = replayed


Deliver = Callable[[InferenceResponse | Exception], None]
"""Takes what became of a request; it does not raise."""
