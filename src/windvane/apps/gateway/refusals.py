"""Why a gateway says no, and with which HTTP status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from windvane.core.conformance import Problem
from windvane.core.errors import WindvaneError


class GatewayError(WindvaneError):
    """A request that gets no prediction; ``model`` and ``tenant`` once they are known."""

    status: ClassVar[int] = 500
    model: str = ""
    tenant: str = ""


class NoKey(GatewayError):
    """The request carries no known API key."""

    code: ClassVar[str] = "GAT-101"
    status = 401
    hint = "send `Authorization: Bearer KEY`; `windvane up` prints the first one"


class NoSuchModel(GatewayError):
    """No model of that name is deployed."""

    code: ClassVar[str] = "GAT-102"
    status = 404


class NoSuchPath(GatewayError):
    """The path or method is not part of the API."""

    code: ClassVar[str] = "GAT-103"
    status = 404
    hint = "POST /v1/models/{model}/predict, POST /v1/outcomes, GET /healthz /readyz /metrics"


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
    """No routing table has been published yet."""

    code: ClassVar[str] = "GAT-106"
    status = 503
    hint = "deploy a model first: `windvane deploy MODEL VERSION`"


class NotRecorded(GatewayError):
    """The event could not be kept, so the prediction is not given."""

    code: ClassVar[str] = "GAT-107"
    status = 503
    hint = "try again later; see SPL-101"


class NoAnswer(GatewayError):
    """Every version of the fallback chain failed, ``routed`` first, on ``arm``."""

    routed: str = ""
    arm: str = ""

    code: ClassVar[str] = "GAT-108"
    status = 503
    hint = "add `{constant: VALUE}` to serve.fallback to always have an answer"


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
