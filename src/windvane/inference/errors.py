"""Why a request gets no prediction. Transports map these to their own statuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from windvane.core.admission import RateLimitDecision
from windvane.core.errors import WindvaneError
from windvane.core.signature import Violation


class Rejection(WindvaneError):
    """A request that gets no prediction; ``model`` and ``tenant`` once they are known.

    ``retry_after_s`` is more than 0 where the same request may succeed later.
    ``content_at_fault``: what the client sent is wrong, which its tenant's monitor counts; as
    ``counts`` requests, for a batch of what is counted one by one where it is accepted.
    """

    code: ClassVar[str] = "GAT-100"
    content_at_fault: ClassVar[bool] = False
    model: str = ""
    tenant: str = ""
    retry_after_s: float = 0.0
    key_id: str = ""
    counts: int = 1


class InternalError(Rejection):
    """Windvane itself failed."""

    code: ClassVar[str] = "GAT-199"
    hint = "the worker's log has the traceback under the request's id"


class NoKey(Rejection):
    """The request carries no API key or token that is good here."""

    code: ClassVar[str] = "GAT-101"
    hint = "send `Authorization: Bearer KEY`; `windvane up` prints the first one"


class NoSuchModel(Rejection):
    """No model of that name is deployed, or none that this tenant may see."""

    code: ClassVar[str] = "GAT-102"


class BodyTooLarge(Rejection):
    """The body has more bytes or rows than this gateway takes."""

    code: ClassVar[str] = "GAT-104"
    content_at_fault = True
    hint = "split the request; `max_body_bytes` and `max_rows` are settings"


class NotReady(Rejection):
    """No routing table has been published yet, or this worker is about to stop."""

    code: ClassVar[str] = "GAT-106"
    hint = (
        "where nothing was ever deployed: `windvane deploy MODEL VERSION`; otherwise `windvane "
        "doctor` says whether a steward runs, which publishes the table"
    )


class NotRecorded(Rejection):
    """The event could not be kept, so the prediction is not given."""

    code: ClassVar[str] = "GAT-107"
    hint = "try again later; see SPL-101"
    retry_after_s = 1.0


class NotServedHere(Rejection):
    """The model is watched here by what is told of it, and answers somewhere else."""

    code: ClassVar[str] = "GAT-124"
    hint = "ask the service that has the model; `windvane register` brings the model here"


class TurnedOff(Rejection):
    """Somebody turned the model off: it answers nobody until it is turned on again."""

    code: ClassVar[str] = "GAT-125"
    hint = "its owners turn it on with `windvane on MODEL`; `windvane status MODEL` says since when"
    retry_after_s = 30.0


class EventTooLarge(Rejection):
    """What is to be recorded of the request is larger than an event may be."""

    code: ClassVar[str] = "GAT-123"
    content_at_fault = True
    hint = "send fewer rows in one request"


class NoAnswer(Rejection):
    """Every version of the fallback chain failed, ``routed`` first, on ``arm``; these are "" where
    its client allowed so little time that no version ``owed`` it an answer. ``owing``: the (arm,
    unit) of each row that was owed one."""

    routed: str = ""
    arm: str = ""
    owed: bool = True
    owing: Sequence[tuple[str, str]] = ()

    code: ClassVar[str] = "GAT-108"
    hint = "add `{constant: VALUE}` to serve.fallback to always have an answer"
    retry_after_s = 1.0


class RateLimited(Rejection):
    """A limit of the tenant is used up; ``decision`` says which, and until when, counted from
    ``at`` (the engine's monotonic clock)."""

    code: ClassVar[str] = "GAT-109"
    hint = "wait for Retry-After seconds; an admin raises it with `windvane limit TENANT`"

    def __init__(self, message: str, decision: RateLimitDecision, at: float) -> None:
        super().__init__(message)
        self.decision = decision
        self.at = at
        self.retry_after_s = decision.retry_after_s
        self.rendered: Any = None  # where a transport keeps what it made of it


class Overloaded(Rejection):
    """The request would not be answered before its deadline, so it is not begun."""

    code: ClassVar[str] = "GAT-110"
    hint = "wait for Retry-After seconds, or give a later deadline"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Forbidden(Rejection):
    """The key is good, but not for this."""

    code: ClassVar[str] = "GAT-111"
    hint = "an admin issues a key with the scope: `windvane key issue TENANT --scope SCOPE`"


class DeadlinePassed(NoAnswer):
    """The request was admitted but had no answer by its deadline."""

    code: ClassVar[str] = "GAT-112"
    hint = "give a later deadline, or add a rule or a constant to serve.fallback"
    retry_after_s = 0.0


class BadDeadline(Rejection):
    """A deadline that cannot be read."""

    code: ClassVar[str] = "GAT-114"
    content_at_fault = True
    hint = "X-Request-Deadline: 250ms, or grpc-timeout: 250m"


class KeyReused(Rejection):
    """The idempotency key was used before, for another body."""

    code: ClassVar[str] = "GAT-116"
    hint = "give every new request an idempotency key of its own"


class StillUnderWay(Rejection):
    """A request with this idempotency key is being answered."""

    code: ClassVar[str] = "GAT-117"
    hint = "wait for Retry-After seconds and repeat it"
    retry_after_s = 1.0


class BadBody(Rejection):
    """The body is not what the protocol asks for."""

    code: ClassVar[str] = "CON-100"
    content_at_fault = True
    hint = "docs/reference/http.md has the form of each protocol's bodies"


class SchemaViolation(Rejection):
    """Rows that break the model's contract; ``violations`` names row and field of each."""

    code: ClassVar[str] = "CON-110"
    content_at_fault = True
    hint = "nothing was predicted; mend the named fields and send the request again"

    def __init__(self, message: str, violations: Sequence[tuple[int, Violation]]) -> None:
        super().__init__(message)
        self.violations = violations


class BadOutcome(Rejection):
    """An outcome that the model's task cannot have."""

    code: ClassVar[str] = "CON-111"
    content_at_fault = True
    hint = "nothing was recorded; mend the named outcome and send the request again"


class ContradictoryOutcome(Rejection):
    """An outcome that cannot be true beside another one, or of a row that cannot be."""

    code: ClassVar[str] = "CON-112"
    content_at_fault = True
    hint = "nothing was recorded; send one value for each row of a prediction"
