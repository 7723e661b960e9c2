"""HTTP statuses of what the engine rejects, and the rejections that only HTTP knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from windvane.inference import errors
from windvane.inference.errors import Rejection


class NoSuchPath(Rejection):
    """The path is not part of the API."""

    code: ClassVar[str] = "GAT-103"
    hint = "GET /openapi.json lists every path"


class BodyTooSlow(Rejection):
    """The body did not arrive within the deadline."""

    code: ClassVar[str] = "GAT-105"


class UnknownApiVersion(Rejection):
    """The header Windvane-Version names no version of this API."""

    code: ClassVar[str] = "GAT-113"


class WrongMethod(Rejection):
    """The path is there, under another method."""

    code: ClassVar[str] = "GAT-115"

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message, hint=f"use {allowed}")
        self.allowed = allowed


class UnsupportedEncoding(Rejection):
    """The body is encoded in a way that is not understood, or not as it says."""

    code: ClassVar[str] = "GAT-118"
    content_at_fault = True
    hint = "send the body as it is, or with Content-Encoding gzip or zstd"


class UnsupportedMediaType(Rejection):
    """The path does not take bodies of this content type."""

    code: ClassVar[str] = "GAT-119"
    content_at_fault = True


class BadRequest(Rejection):
    """What came is no request of HTTP, or one that others on its way could read otherwise."""

    code: ClassVar[str] = "GAT-120"


class HeadTooLarge(Rejection):
    """The request line or the header lines are longer than this gateway takes."""

    code: ClassVar[str] = "GAT-121"


class TooManyConnections(Rejection):
    """This address, or all of them, have as many connections as this gateway takes."""

    code: ClassVar[str] = "GAT-122"
    retry_after_s = 1.0


class BadIdempotencyKey(Rejection):
    """An Idempotency-Key that cannot be one."""

    code: ClassVar[str] = "GAT-130"
    hint = "a UUID is a good one"


STATUSES: Mapping[type[Rejection], int] = {
    BadRequest: 400,
    errors.BadBody: 400,
    errors.BadDeadline: 400,
    BadIdempotencyKey: 400,
    UnknownApiVersion: 400,
    errors.NoKey: 401,
    errors.Forbidden: 403,
    errors.NoSuchModel: 404,
    NoSuchPath: 404,
    WrongMethod: 405,
    BodyTooSlow: 408,
    errors.StillUnderWay: 409,
    errors.BodyTooLarge: 413,
    errors.EventTooLarge: 413,
    errors.NotServedHere: 409,
    UnsupportedEncoding: 415,
    UnsupportedMediaType: 415,
    errors.KeyReused: 422,
    errors.SchemaViolation: 422,
    errors.BadOutcome: 422,
    errors.ContradictoryOutcome: 422,
    errors.RateLimited: 429,
    HeadTooLarge: 431,
    errors.InternalError: 500,
    TooManyConnections: 503,
    errors.NoAnswer: 503,
    errors.NotReady: 503,
    errors.NotRecorded: 503,
    errors.Overloaded: 503,
    errors.TurnedOff: 503,
    errors.DeadlinePassed: 504,
}
"""Each class of rejection has one line; a test fails for one that has none."""


def status_of(error: Rejection) -> int:
    return STATUSES.get(type(error), 500)


def of_status(status: int, detail: str) -> Rejection:
    """What a transport tells by a status alone."""
    match status:
        case 408:
            return BodyTooSlow(detail)
        case 413:
            return errors.BodyTooLarge(detail)
        case 414 | 431:
            return HeadTooLarge(detail)
        case 500:
            return errors.InternalError(detail)
        case 503:
            return TooManyConnections(detail)
        case _:
            return BadRequest(detail)
