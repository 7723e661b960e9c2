"""Why a gateway says no, and with which HTTP status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from windvane.core.admission import Taken
from windvane.core.conformance import Problem
from windvane.core.errors import WindvaneError


class GatewayError(WindvaneError):
    """A request that gets no prediction; ``model`` and ``tenant`` once they are known.
    ``retry_after_s`` is more than 0 where the same request may succeed later."""

    status: ClassVar[int] = 500
    model: str = ""
    tenant: str = ""
    retry_after_s: float = 0.0
    key_id: str = ""


class NoKey(GatewayError):
    """The request carries no API key or token that is good here."""

    code: ClassVar[str] = "GAT-101"
    status = 401
    hint = "send `Authorization: Bearer KEY`; `windvane up` prints the first one"


class NoSuchModel(GatewayError):
    """No model of that name is deployed, or none that this tenant may see."""

    code: ClassVar[str] = "GAT-102"
    status = 404


class NoSuchPath(GatewayError):
    """The path or method is not part of the API."""

    code: ClassVar[str] = "GAT-103"
    status = 404
    hint = "GET /openapi.json lists every path"


class WrongMethod(GatewayError):
    """The path is there, under another method."""

    code: ClassVar[str] = "GAT-115"
    status = 405

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message, hint=f"use {allowed}")
        self.allowed = allowed


class BodyTooLarge(GatewayError):
    """The body has more bytes or rows than this gateway takes."""

    code: ClassVar[str] = "GAT-104"
    status = 413
    hint = "split the request; `max_body_bytes` and `max_rows` are settings"


class BodyTooSlow(GatewayError):
    """The body did not arrive within the deadline."""

    code: ClassVar[str] = "GAT-105"
    status = 408


class NotReady(GatewayError):
    """No routing table has been published yet, or this worker is about to stop."""

    code: ClassVar[str] = "GAT-106"
    status = 503
    hint = "deploy a model first: `windvane deploy MODEL VERSION`"


class NotRecorded(GatewayError):
    """The event could not be kept, so the prediction is not given."""

    code: ClassVar[str] = "GAT-107"
    status = 503
    hint = "try again later; see SPL-101"
    retry_after_s = 1.0


class NoAnswer(GatewayError):
    """Every version of the fallback chain failed, ``routed`` first, on ``arm``."""

    routed: str = ""
    arm: str = ""

    code: ClassVar[str] = "GAT-108"
    status = 503
    hint = "add `{constant: VALUE}` to serve.fallback to always have an answer"
    retry_after_s = 1.0


class RateLimited(GatewayError):
    """A limit of the tenant is used up; ``taken`` says which, and until when, counted from
    ``at`` (``time.monotonic``)."""

    code: ClassVar[str] = "GAT-109"
    status = 429
    hint = "wait for Retry-After seconds; an admin raises it with `windvane limit TENANT`"

    def __init__(self, message: str, taken: Taken, at: float) -> None:
        super().__init__(message)
        self.taken = taken
        self.at = at
        self.retry_after_s = taken.retry_after_s


class Overloaded(GatewayError):
    """The request would not be answered before its deadline, so it is not begun."""

    code: ClassVar[str] = "GAT-110"
    status = 503
    hint = "wait for Retry-After seconds, or give a later deadline"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Forbidden(GatewayError):
    """The key is good, but not for this."""

    code: ClassVar[str] = "GAT-111"
    status = 403
    hint = "an admin issues a key with the scope: `windvane key issue TENANT --scope SCOPE`"


class DeadlinePassed(NoAnswer):
    """The request was admitted but had no answer by its deadline."""

    code: ClassVar[str] = "GAT-112"
    status = 504
    hint = "give a later deadline, or add a rule or a constant to serve.fallback"
    retry_after_s = 0.0


class UnknownApiVersion(GatewayError):
    """The header Windvane-Version names no version of this API."""

    code: ClassVar[str] = "GAT-113"
    status = 400


class BadDeadline(GatewayError):
    """A deadline header that cannot be read."""

    code: ClassVar[str] = "GAT-114"
    status = 400
    hint = "X-Request-Deadline: 250ms, or grpc-timeout: 250m"


class BadBody(GatewayError):
    """The body is not what the API asks for."""

    code: ClassVar[str] = "CON-100"
    status = 400
    hint = 'send {"instances": [{"features": {...}, "unit": "..."}]}'


class BrokenPromise(GatewayError):
    """Rows that break the model's promise; ``problems`` names each field."""

    code: ClassVar[str] = "CON-110"
    status = 422
    hint = "nothing was predicted; mend the named fields and send the request again"

    def __init__(self, message: str, problems: Sequence[tuple[int, Problem]]) -> None:
        super().__init__(message)
        self.problems = problems
