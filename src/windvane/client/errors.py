"""What a call may raise: one class, whatever went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from windvane.core.errors import WindvaneError


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a row: its place in the request, a stable code, the field."""

    row: int = -1
    code: str = ""
    field: str = ""
    message: str = ""


class ApiError(WindvaneError):
    """The gateway refused, or was not there.

    ``code`` is the gateway's own stable one, ``status`` that of HTTP (0 where there was no
    response), ``advice`` says what to do, ``problems`` what is wrong with which row.
    ``retry_after_s``: the same request may succeed after that, 0 if the gateway does not say.
    """

    code: ClassVar[str] = "CLN-100"

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        status: int = 0,
        hint: str | None = None,
        problems: Sequence[Problem] = (),
        request_id: str = "",
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(message, hint=hint)
        if code:
            self.code = code  # pyright: ignore[reportAttributeAccessIssue]
        self.status = status
        self.problems = tuple(problems)
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class NoResponse(ApiError):
    """No response came: no connection, or not in time. What was asked may have happened."""

    code: ClassVar[str] = "CLN-101"
    hint = "is the gateway running at this address? A later deadline or a retry may help"


class BadArgument(ApiError):
    """What was given cannot be sent."""

    code: ClassVar[str] = "CLN-102"
    hint = "docs/howto/call-a-model-from-python.md shows what each call takes"
